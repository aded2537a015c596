# The guest as lab/run sees it: cached, booted, watched.

BOOT_SECONDS=90
# What a scenario in the guest may take beyond its own limit: cleaning up, and saying how it went.
GRACE_SECONDS=60

install_host_packages() {
    local package missing=() attempt
    for package in "${LAB_HOST_PACKAGES[@]}"; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    echo "installing ${missing[*]}"
    for attempt in 1 2 3; do
        as_root apt-get update -q && as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get install -q -y --no-install-recommends "${missing[@]}" && return
        sleep $((attempt * 5))
    done >"$run/install.log" 2>&1
    tail -n 20 "$run/install.log"
    die "cannot install ${missing[*]}"
}

as_root() {
    if ((EUID == 0)); then "$@"; else sudo "$@"; fi
}

# Sets guest to the folder of the cached guest, built first where it is missing.
ensure_guest() {
    local cache=${LAB_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/usb-over-anything-lab}
    local key building lock
    local recipe=("$lab/host/packages.sh" "$lab/host/build-guest" "$lab/guest/init")
    key=$(cat "${recipe[@]}" | sha256sum | cut -c 1-16)
    guest=$cache/guest-$key
    mkdir -p "$cache"
    exec {lock}>"$cache/lock"
    flock "$lock"
    if [[ ! -d $guest ]]; then
        echo "building the guest, log: $cache/build.log"
        building=$cache/building-$key
        as_root rm -rf "$building"
        mkdir "$building"
        as_root env LAB_MIRROR="${LAB_MIRROR:-}" "$lab/host/build-guest" "$building" >"$cache/build.log" 2>&1 || {
            tail -n 20 "$cache/build.log"
            die "the guest cannot be built"
        }
        mv "$building" "$guest"
        echo "guest ready after $SECONDS s"
    fi
    touch "$guest"
    find "$cache" -maxdepth 1 -name 'guest-*' -mtime +7 -exec rm -rf {} +
    exec {lock}>&-
}

# guest_command MEMORY CPUS WORD...: sets command to what boots the guest; the words go to its kernel's command line.
guest_command() {
    local memory=$1 cpus=$2
    shift 2
    command=("${QEMU[@]}" -m "$memory" -smp "$cpus" -kernel "$guest/vmlinuz" -initrd "$guest/initrd"
        -append "$GUEST_KERNEL_WORDS $*"
        -drive "file=$guest/root.ext4,if=none,id=root,format=raw,snapshot=on,cache=unsafe"
        -device virtio-blk-pci,drive=root -device virtio-rng-pci
        -virtfs "local,path=$run,mount_tag=job,security_model=none")
}

# One boot: runs scenarios until one fails or the guest does. Leaves the names that were not reached in remaining.
run_in_guest() {
    local memory=$1 cpus=$2 name seconds=$BOOT_SECONDS started qemu console command
    shift 2
    remaining=("$@")
    boots=$((boots + 1))
    console=$run/console-$boots.log
    rm -f "$run/.job/up"
    for name; do
        mkdir -p "$run/$name"
        echo "$name ${timeout["$name"]}"
        seconds=$((seconds + timeout["$name"] + GRACE_SECONDS))
    done >"$run/.job/queue"
    guest_command "$memory" "$cpus"
    # Whoever has devices has a boot of its own.
    local said=${devices["$1"]//GUEST/"$guest"}
    read -ra words <<<"${said//RUN/"$run"}"
    command+=("${words[@]}")
    # The limit is a last resort, for when nobody watches any more.
    timeout --kill-after=5 "$seconds" "${command[@]}" -serial "file:$console" -monitor none \
        </dev/null >"$run/qemu-$boots.log" 2>&1 &
    qemu=$!
    running=$qemu
    if ! wait_until "$BOOT_SECONDS" came_true "$run/.job/up" "$qemu" || [[ ! -e $run/.job/up ]]; then
        stop_guest "$qemu" 0
        return 1
    fi
    for name; do
        seconds=$((timeout["$name"] + GRACE_SECONDS))
        started=${EPOCHREALTIME/./}
        wait_until "$seconds" came_true "$run/$name/status" "$qemu" || true
        remaining=("${remaining[@]:1}")
        if [[ ! -e $run/$name/status ]]; then
            if ended "$qemu"; then
                echo "the guest died: $(grep -o 'Kernel panic.*' "$console" | tr -d '\r')" >"$run/$name/reason"
            else
                echo "the guest hung" >"$run/$name/reason"
            fi
            stop_guest "$qemu" 0
            tail -n 40 "$console" | tr -d '\r' >>"$run/$name/log"
            echo "fail $(tenths_since "$started")" >"$run/$name/status"
        fi
        show "$name"
        [[ $(<"$run/$name/status") != fail* ]] || break
    done
    stop_guest "$qemu" 20
}

came_true() {
    [[ -e $1 ]] || ended "$2"
}

# stop_guest PID SECONDS: it may power off by itself for so long.
stop_guest() {
    wait_until "$2" ended "$1" || kill "$1" 2>/dev/null || true
    wait "$1" || true
    running=
}

# Boots as often as it takes for every scenario to be run once.
run_all_in_guest() {
    local memory=$1 cpus=$2 failures=0 remaining name
    shift 2
    (($# == 0)) || ensure_guest
    remaining=("$@")
    while ((${#remaining[@]})); do
        run_in_guest "$memory" "$cpus" "${remaining[@]}" && failures=0 && continue
        failures=$((failures + 1))
        ((failures == 2)) || continue
        for name in "${remaining[@]}"; do
            echo "the guest did not boot" >"$run/$name/reason"
            tr -d '\r' <"$run/console-$boots.log" | tail -n 40 | cat "$run/qemu-$boots.log" - >"$run/$name/log"
            echo "fail 0" >"$run/$name/status"
            show "$name"
        done
        return
    done
}
