# about: Linux's uas driver on a disk of ours beside usb-storage on another, at high speed: direct reads, medians of five
# tier: full
# boot: own
# timeout: 300
# memory: 1536
# programs: attach-disk

load_vhci
modprobe uas
size=64
head -c "${size}M" /dev/zero | tee bot.img >uas.img
attach attach-disk bot.img --speed high
bot_pid=$pid bot_port=$port bot_id=$bus_id bot_disk=$disk
attach attach-disk uas.img --speed high --uas
expect_equal "$(driver_of "$bot_id") $(driver_of "$bus_id")" "usb-storage uas" "drivers"

# In turn, since what else the machine does changes from one second to the next.
declare -A one many
for round in {1..5}; do
    note "round $round"
    one[bot]+=" $(dd_rate "$bot_disk" "$size")" one[uas]+=" $(dd_rate "$disk" "$size")"
    many[bot]+=" $(fio_rate "$bot_disk" 3)" many[uas]+=" $(fio_rate "$disk" 3)"
done

# compare WHAT BOT UAS: the medians, and that of the ratios of the rounds.
compare() {
    local what=$1 bot uas ratios
    read -ra bot <<<"$2"
    read -ra uas <<<"$3"
    mapfile -t ratios < <(paste <(printf '%s\n' "${bot[@]}") <(printf '%s\n' "${uas[@]}") | awk '{ printf "%.2f\n", $2 / $1 }')
    ratio=$(median "${ratios[@]}")
    report "$what: bot $(median "${bot[@]}") KB/s, uas $(median "${uas[@]}") KB/s, ratio $ratio"
}
compare "1 MiB, one at a time" "${one[bot]}" "${one[uas]}"
first=$ratio
compare "128 KiB, 32 at a time" "${many[bot]}" "${many[uas]}"
awk -v a="$first" 'BEGIN { exit !(a >= 1.5) }' || fail "at 1 MiB uas reads less than 1.5 times as fast"
kill -TERM "$bot_pid" "$pid"
expect_detached "$bot_pid" "$bot_port" "$bot_id"
expect_detached "$pid" "$port" "$bus_id"
