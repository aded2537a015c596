seconds=10
format=(-t raw -f S16_LE -r 48000 -c 2 --buffer-time=500000)

modprobe -a xhci-pci ehci-pci uhci-hcd snd-usb-audio
# Each frame is its own number.
perl -e 'print pack("V*", 1..48000*shift)' "$seconds" >played
for speed in super:5000 high:480 full:12; do
    rate=${speed#*:} speed=${speed%:*}
    note "at $speed speed"
    ask plug "$speed" "$speed" --audio
    await_device_at "$rate" 01
    card=$(basename "$(find "/sys/bus/usb/devices/$bus_id/" -name 'card[0-9]*' -type d -print -quit)")
    [[ -n $card ]] || fail "no sound card at $speed speed"
    arecord -D "hw:${card#card},0" "${format[@]}" -d $((seconds + 4)) recorded 2>arecord.err &
    recorder=$!
    pause 1
    started=${EPOCHREALTIME/./}
    aplay -D "hw:${card#card},0" "${format[@]}" played 2>aplay.err || true
    tenths=$(tenths_since "$started")
    wait_until 40 ended "$recorder" || fail "arecord hangs"
    cat aplay.err arecord.err
    # Frames with a number, before how many of them some are missing, and how many were less than the one before.
    read -r right gaps back < <(perl -e '
        my ($last, $right, $gaps, $back) = (0, 0, 0, 0);
        while (read(STDIN, my $frame, 4)) {
            my $number = unpack("V", $frame) or next;
            $back++ if $number <= $last;
            $gaps++ if $number != $last + 1;
            $right++;
            $last = $number;
        }
        print "$right $gaps $back\n"' <recorded)
    report "$speed speed: $((right / 480 / seconds)) % came back, with $gaps gaps, played in $((tenths / 10)).$((tenths % 10)) s"
    expect_equal "$back" 0 "frames out of order at $speed speed"
    # Half of them, or on EHCI, which loses most where the machine is busy (docs/conformance.md), a tenth.
    least=$((480 * 100 * seconds / 2))
    [[ $speed != high ]] || least=$((least / 5))
    ((right >= least)) || fail "only $right frames came back at $speed speed"
    ask unplug "$speed"
done
