# about: 30 disks at once on both hubs of a controller: all readable, all detached, all ports usable again
# tier: fast
# timeout: 300
# programs: attach-disk

load_vhci
for number in {1..30}; do
    head -c 1M /dev/urandom >"$number.img"
done

# Attaches all 30 at the same time, the even ones at high speed, and compares their contents.
attach_all() {
    local number nodes=() speeds=(high super)
    pids=() taken=() bus_ids=()
    for number in {1..30}; do
        start_attach attach-disk "$number.img" --speed "${speeds[number % 2]}"
        pids+=("$pid")
    done
    for number in {1..30}; do
        await_attach "${pids[number - 1]}"
        taken+=("$port")
        bus_ids+=("$bus_id")
        nodes+=("$disk")
    done
    udevadm settle
    expect_equal "$(printf '%s\n' "${taken[@]}" | sort -n | paste -sd ' ')" "$(seq -s ' ' 0 29)" "the ports taken"
    for number in {1..30}; do
        cmp "$number.img" "${nodes[number - 1]}" || fail "disk $number has the wrong content"
    done
}

expect_all_detached() {
    local index
    for index in {0..29}; do
        expect_detached "${pids[index]}" "${taken[index]}" "${bus_ids[index]}"
    done
}

note "first time, detached by signal"
attach_all
kill -TERM "${pids[@]}"
expect_all_detached

note "second time, detached by the kernel"
attach_all
for port in "${taken[@]}"; do
    detach_port "$port"
done
expect_all_detached
