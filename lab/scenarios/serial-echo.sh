# about: ttyACM echoes 10 MB at full pressure without a loss, line codings and control lines arrive, the bridge carries both ways
# tier: full
# timeout: 400
# programs: attach-serial
# allow-log: vhci_hcd: urb->status -(104|2)

load_vhci
modprobe cdc-acm
# The first port that is opened is the terminal of this session, and carrier that goes ends sessions.
trap '' HUP

# open_tty: sets tty to a file descriptor of the attached port, whose line is raw.
open_tty() {
    node=/dev/$(node_of "$bus_id" 'ttyACM*')
    [[ -c $node ]] || fail "no serial port: $node"
    exec {tty}<>"$node"
    stty -F "$node" raw -echo
}

close() {
    exec {tty}>&-
    kill -TERM "$pid"
    expect_detached "$pid" "$port" "$bus_id"
}

# written_by PID: bytes that a process has written.
written_by() {
    sed -n 's/^wchar: //p' "/proc/$1/io"
}

# is_blocked PID: it has written something, and in half a second no more.
is_blocked() {
    local before
    before=$(written_by "$1")
    pause 0.5
    ((before > 0)) && [[ $(written_by "$1") == "$before" ]]
}

head -c 10M /dev/urandom >sent
for speed in full high super; do
    note "10 MB at $speed speed"
    attach_device attach-serial --loopback --speed "$speed"
    open_tty
    started=${EPOCHREALTIME/./}
    cat sent >&"$tty" &
    writer=$!
    # Nobody reads, until all buffers are full and the writer stands still.
    wait_until 20 is_blocked "$writer" || fail "the writer is never held up"
    filled=$(written_by "$writer")
    ((filled < $(stat -c %s sent))) || fail "all 10 MB found a place"
    head -c 10M <&"$tty" >received
    tenths=$(tenths_since "$started")
    expect_exit 10 "$writer" 0 "the writer"
    cmp sent received || fail "10 MB came back changed at $speed speed"
    report "held up after $((filled / 1024)) KiB; 10 MB there and back at $speed speed in $((tenths / 10)).$((tenths % 10)) s"
    close
done

note "line codings"
attach_device attach-serial --loopback
open_tty
wait_until 5 announced "$pid" 'control lines: DTR RTS' || fail "no DTR: $(<"${attach_output[$pid]}")"
for line in '115200 cs7 parenb parodd cstopb:115200 7O2' '1200 cs5 -parenb -cstopb:1200 5N1' \
    '4000000 cs8 parenb -parodd:4000000 8E1'; do
    # shellcheck disable=SC2086 # words
    stty -F "$node" ${line%:*}
    wait_until 5 announced "$pid" "line coding: ${line#*:}" || fail "no ${line#*:}: $(<"${attach_output[$pid]}")"
done
# The loopback has carrier while the port is open, so an open that waits for it succeeds.
stty -F "$node" -clocal
exec {tty}>&-
wait_until 5 announced "$pid" 'control lines: none' || fail "DTR stays: $(<"${attach_output[$pid]}")"
exec {tty}<>"$node"
close

note "the bridge to a pseudo-terminal"
attach_device attach-serial
open_tty
terminal=$(sed -n 's/^terminal: //p' "${attach_output[$pid]}")
[[ -c $terminal ]] || fail "no pseudo-terminal: $terminal"
head -c 1M sent >there
tail -c 1M sent >back
cat there >&"$tty" &
writer=$!
head -c 1M <"$terminal" >there.received
expect_exit 10 "$writer" 0 "the writer at the port"
cmp there there.received || fail "what was sent came out changed"
cat back >"$terminal" &
writer=$!
head -c 1M <&"$tty" >back.received
expect_exit 10 "$writer" 0 "the writer at the terminal"
cmp back back.received || fail "what was received came in changed"
close
