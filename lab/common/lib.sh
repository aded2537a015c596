# What every scenario may use, in the guest and on the host. A scenario starts in an empty folder of its own, in memory
# where possible, which is removed afterwards, with
#   LAB_BIN  the folder of the programs under test, which PATH begins with
#   LAB_OUT  the folder of its results, kept on the host

note() {
    printf '%s %s\n' "$(date +%T.%3N)" "$*"
}

# Shown with the scenario's result, also when it passes.
report() {
    printf '%s\n' "$*" | tee -a "$LAB_OUT/report"
}

fail() {
    printf '%s\n' "$*" | tee "$LAB_OUT/reason" >&2
    exit 1
}

# For what this machine cannot do; never for what the program under test cannot do.
skip() {
    printf '%s\n' "$*" | tee "$LAB_OUT/reason" >&2
    exit 77
}

# expect_equal ACTUAL EXPECTED WHAT
expect_equal() {
    [[ $1 == "$2" ]] || fail "$3: found '$1', expected '$2'"
}

expect_failure() {
    if "$@"; then fail "succeeded and must not: $*"; fi
}

# Nothing ever comes out of it.
exec {idle}<> <(:)

# Waits without starting a process, which would take its share of what is being measured.
pause() {
    read -r -t "$1" -u "$idle" || true
}

# wait_until SECONDS COMMAND...
wait_until() {
    local end=$((${EPOCHREALTIME/./} + $1 * 1000000))
    shift
    until "$@"; do
        ((${EPOCHREALTIME/./} < end)) || return 1
        pause 0.05
    done
}

# tenths_since TIME: of a second, since EPOCHREALTIME without its point.
tenths_since() {
    echo $(((${EPOCHREALTIME/./} - $1) / 100000))
}

# Asks the kernel: a signal finds an ended program too, for as long as the shell has not noticed its end.
ended() {
    local line
    { read -r line <"/proc/$1/stat"; } 2>/dev/null || return 0
    [[ ${line##*) } == [ZX]* ]]
}

# expect_exit SECONDS PID STATUS WHAT: a background program ends by itself, in time, with this exit status.
expect_exit() {
    local status=0
    wait_until "$1" ended "$2" || fail "$4: still running after $1 s"
    wait "$2" || status=$?
    expect_equal "$status" "$3" "$4: exit status"
}

# dissect CAPTURE ARG...: what tshark says of a conversation of USB/IP, its server at port 3240. Where a packet is malformed
# or deserves a warning (0x600000), that fails the scenario.
dissect() {
    local complaints
    complaints=$(tshark -r "$1" -d tcp.port==3240,usbip -Y '_ws.malformed || _ws.expert.severity >= 0x600000' \
        -T fields -e frame.number -e _ws.expert.message | sed -n 1p)
    [[ -z $complaints ]] || fail "tshark, ${1##*/}, frame $complaints"
    tshark -d tcp.port==3240,usbip -r "$@"
}

# One line for each file under a folder, to be compared as text.
sums() {
    (cd "$1" && find . -type f -print0 | sort -z | xargs -0 sha256sum)
}
