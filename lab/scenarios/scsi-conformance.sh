# about: libiscsi's conformance test on disks of ours, by BOT and UAS, blocks of 512 and 4096 bytes: nothing fails, skips are known
# tier: full
# boot: own
# timeout: 1500
# memory: 1536
# programs: attach-disk
# allow-log: vhci_hcd: sendmsg failed

load_vhci
# /dev/sg takes as many pieces as the host controller, 32 at vhci_hcd, and a test writes 257 blocks at once: of 4096 bytes
# more than 32 pieces of 32 KiB.
modprobe sg scatter_elem_sz=65536
modprobe uas

# Why a test may skip itself. Anything else fails.
known_skips=(
    # Of other transports, or of more than one host.
    'only supported for iSCSI backends' 'Multipath unavailable'
    # One host reaches the disk, so there is nothing to reserve.
    'PERSISTENT RESERVE IN is not implemented' 'PROUT Not Supported' 'RESERVE6 is not implemented'
    # Optional commands of which the disk says that it lacks them.
    'ORWRITE is not implemented' 'WRITEATOMIC16 is not implemented' 'EXTENDEDCOPY is not implemented'
    'RECEIVE_COPY_RESULTS is not implemented' 'RECEIVECOPYRESULT is not implemented'
    'GET_LBA_STATUS is not implemented' 'GETLBASTATUS is not implemented'
    'READDEFECTDATA1[02] is not implemented' '--allow-sanitize flag is not set'
    # The tool takes any refusal of a field for this.
    'REPORT_SUPPORTED_OPCODES is not implemented'
    # A logical block is a physical one.
    'LBPPB < 2'
    # The disk refuses what would clear all to the end (WSNZ).
    'does not support 0-blocks'
    # Of disks that are otherwise than this one; each kind is there once.
    'not removable' 'Media is not removable' 'not write-protected' 'LUN is write-protected' 'is not thin' 'LBPME'
    'Logical unit is fully provisioned' 'does not have removable' 'D_SENSE is not changeable'
    'SWP is not changeable' 'UNMAP is not implemented' 'logical unit provisioning'
)
known=$(IFS='|' && echo "${known_skips[*]}")

# judge NAME SUITE...: all tests of these suites, on the disk that is attached.
judge() {
    local name=$1 suite log sg result ran failed
    shift
    # The tool transfers more than the 120 KiB or 1 MiB that usb-storage begins with. Of uas there is no such file.
    [[ $name == uas-* ]] || echo 8192 >"/sys/block/${disk##*/}/device/max_sectors"
    sg=$(generic "$disk")
    sg_turs "$sg"
    for suite; do
        log=$LAB_OUT/$name.$suite
        result=$(conformance "$sg" "$suite" "$log") || fail "$name $suite: no summary"
        read -r ran failed <<<"$result"
        total=$((total + ran))
        bad=$((bad + failed))
        ((failed == 0)) || note "$name $suite: $failed failed"
        if grep -F '[SKIPPED]' "$log" | grep -vE "$known"; then fail "$name $suite: skipped for no known reason"; fi
    done
}

# live NAME TESTS SKIPS OPTION... -- SUITE...: so many tests run at least, and skip something at most so often, or a command
# that the disk has lost would be taken for one that it never had.
live() {
    local name=$1 least=$2 most=$3 options=() total=0 bad=0 skips
    shift 3
    while [[ $1 != -- ]]; do
        options+=("$1")
        shift
    done
    shift
    rm -f disk.img
    # Too small for a test that moves 65536 blocks at once, more than one transfer may.
    truncate -s 24M disk.img
    attach attach-disk disk.img "${options[@]}"
    judge "$name" "$@"
    skips=$(cat "$LAB_OUT/$name".* | grep -cF '[SKIPPED]')
    report "$name: ${options[*]}: $total tests ran, $bad failed, $skips skips"
    cat "$LAB_OUT/$name".* | sed -n 's/.*\[SKIPPED\] *//p' | sort | uniq -c | sort -rn >"$LAB_OUT/skips-$name"
    ((bad == 0 && total >= least && skips <= most)) || failed_disks+=("$name")
    kill -TERM "$pid"
    expect_detached "$pid" "$port" "$bus_id"
}

failed_disks=()
mapfile -t suites < <(conformance_suites)
((${#suites[@]} > 40)) || fail "only ${#suites[@]} suites"
live bot-512 215 163 --block-size 512 --discard -- "${suites[@]}"
live bot-4096 215 163 --block-size 4096 --discard --speed high -- "${suites[@]}"
# The others are judged by usbredir-uas.
mapfile -t suites < <(conformance_suites "${TOO_LONG_FOR_UAS[@]}")
live uas-512 207 154 --uas --speed high --block-size 512 --discard -- "${suites[@]}"
mapfile -t suites < <(conformance_suites "${TOO_LONG_FOR_UAS_4096[@]}")
live uas-4096 182 144 --uas --speed high --block-size 4096 --discard -- "${suites[@]}"
live full 39 23 --cache writethrough -- Unmap WriteSame10 WriteSame16 ReportSupportedOpcodes Inquiry Mandatory ReadCapacity16
live removable 18 17 --eject keep -- PreventAllow StartStopUnit NoMedia TestUnitReady ModeSense6
live protected 12 7 --read-only -- ReadOnly Read10 Read16
((${#failed_disks[@]} == 0)) || fail "tests failed, or fewer ran: ${failed_disks[*]}"
