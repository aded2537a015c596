# about: temporary: system calls
# tier: full
# boot: own
# timeout: 200
# memory: 1024
# programs: attach-disk lab-floor

image=$LAB_SCRATCH/disk.img
head -c 64M /dev/zero >"$image"
load_vhci
attach attach-disk "$image" --read-only --speed super
ours=$disk opid=$pid
attach lab-floor "$image" super
floor=$disk fpid=$pid
for p in ours floor; do
  d=${!p}; [[ $p == ours ]] && q=$opid || q=$fpid
  timeout 60 strace -f -c -o "$LAB_OUT/strace.$p" -p "$q" & s=$!
  pause 2
  dd if="$d" of=/dev/null bs=4096 count=1000 iflag=direct 2>/dev/null
  kill -INT $s; pause 1
  report "$p $(cat $LAB_OUT/strace.$p)"
  timeout 20 strace -f -r -o "$LAB_OUT/log.$p" -p "$q" & s=$!
  pause 2
  dd if="$d" of=/dev/null bs=4096 count=10 iflag=direct 2>/dev/null
  kill -INT $s; pause 1
done
