# about: Linux's uas driver on a disk of ours beside usb-storage on another, at high speed: direct reads, and medians of their ratios
# tier: full
# boot: own
# timeout: 300
# memory: 1536
# programs: attach-disk

load_vhci
modprobe uas
size=32
head -c "${size}M" /dev/zero | tee bot.img >uas.img
attach attach-disk bot.img --speed high
bot_pid=$pid bot_port=$port bot_id=$bus_id bot_disk=$disk
attach attach-disk uas.img --speed high --uas
expect_equal "$(driver_of "$bot_id") $(driver_of "$bus_id")" "usb-storage uas" "drivers"

# In turn, since what else the machine does changes from one second to the next.
one_bot=() one_uas=() many_bot=() many_uas=()
for _ in {1..15}; do
    one_bot+=("$(dd_rate "$bot_disk" "$size")")
    one_uas+=("$(dd_rate "$disk" "$size")")
done
for _ in {1..7}; do
    many_bot+=("$(fio_rate "$bot_disk" 2)")
    many_uas+=("$(fio_rate "$disk" 2)")
done

# compare WHAT BOT UAS: the medians of these lists, and that of the ratios of their pairs. Sets ratio.
compare() {
    local what=$1 ratios
    local -n of_bot=$2 of_uas=$3
    mapfile -t ratios < <(paste <(printf '%s\n' "${of_bot[@]}") <(printf '%s\n' "${of_uas[@]}") |
        awk '{ printf "%.2f\n", $2 / $1 }')
    ratio=$(median "${ratios[@]}")
    report "$what: bot $(median "${of_bot[@]}") KB/s, uas $(median "${of_uas[@]}") KB/s, ratio $ratio"
}
compare "128 KiB, 32 at a time" many_bot many_uas
compare "1 MiB, one at a time" one_bot one_uas
awk -v ratio="$ratio" 'BEGIN { exit !(ratio >= 1.5) }' || fail "at 1 MiB uas reads only $ratio times as fast"
kill -TERM "$bot_pid" "$pid"
expect_detached "$bot_pid" "$bot_port" "$bot_id"
expect_detached "$pid" "$port" "$bus_id"
