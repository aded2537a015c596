# about: all thirteen cases of host and disk on a data phase, padded or stalled, blocks of 512 and 4096: the right pass, the others take one reset
# tier: full
# timeout: 400
# programs: attach-disk
# allow-log: reset .*[Ss]peed

load_vhci
modprobe sg
truncate -s 16M disk.img
head -c 8192 /dev/urandom >f
test_unit_ready='00 00 00 00 00 00'
read_10='28 00 00 00 00 00 00 00'
write_10='2a 00 00 00 00 00 00 00'

resets() {
    dmesg | grep -cE 'reset .*[Ss]peed' || true
}

# try CASE RESETS OPTION... -- BYTE...: the command passes without a reset, or fails after as many as that. Linux gives
# up on a command after 30 s.
try() {
    local number=$1 expected=$2 options=() status=0 before started
    shift 2
    while [[ $1 != -- ]]; do
        options+=("$1")
        shift
    done
    shift
    before=$(resets)
    started=${EPOCHREALTIME/./}
    # shellcheck disable=SC2048,SC2086 # the bytes of a command
    sg_raw "${options[@]}" "$sg" $* >"case-$number" 2>&1 || status=$?
    # The status comes when the reset is done.
    note "case $number: status $status, $(($(resets) - before)) resets, $(tenths_since "$started") tenths"
    expect_equal $(($(resets) - before)) "$expected" "case $number: resets"
    if ((expected == 0)); then
        expect_equal "$status" 0 "case $number: exit status"
    else
        ((status != 0)) || fail "case $number: passed"
    fi
    (($(tenths_since "$started") < 150)) || fail "case $number: timed out"
    # The unit tells of the reset once.
    sg_turs "$sg" || sg_turs "$sg" || fail "case $number: the disk does not work any more"
}

for how in pad,512 stall,512 pad,4096 stall,4096; do
    policy=${how%,*} block=${how#*,}
    note "what is short: $policy, blocks of $block"
    attach attach-disk disk.img --speed high --short-in "$policy" --block-size "$block"
    sg=$(generic "$disk")
    try 1 0 -- "$test_unit_ready"
    try 2 1 -- "$read_10 01 00"
    try 3 1 -- "$write_10 01 00"
    try 4 0 -r "$block" -- "$test_unit_ready"
    try 5 0 -r $((2 * block)) -- "$read_10 01 00"
    try 6 0 -r "$block" -- "$read_10 01 00"
    try 7 1 -r "$block" -- "$read_10 02 00"
    try 8 1 -r "$block" -- "$write_10 01 00"
    try 9 0 -s "$block" -i f -- "$test_unit_ready"
    try 10 1 -s "$block" -i f -- "$read_10 01 00"
    try 11 0 -s $((2 * block)) -i f -- "$write_10 01 00"
    try 12 0 -s "$block" -i f -- "$write_10 01 00"
    try 13 1 -s "$block" -i f -- "$write_10 02 00"
    # Some hosts allow for more in the command than in the wrapper.
    try inquiry 0 -r 36 -- '12 00 00 00 ff 00'
    kill -TERM "$pid"
    expect_detached "$pid" "$port" "$bus_id"
    report "$policy, blocks of $block: 1 4 5 6 9 11 12 good; 2 3 7 8 10 13 one reset each; none timed out"
done
