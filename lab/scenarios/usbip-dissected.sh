# about: tshark's USB/IP dissector understands lists, imports, isochronous transfers and unlinks of our client and server
# tier: fast
# where: host
# timeout: 600

# The test that writes the capture may have to be built.
capture=$lab/../target/tmp/usbip.pcap
rm -f "$capture"
(cd "$lab/.." && cargo test --quiet --locked --target-dir target --package usbip-proto --test capture)
mv "$capture" "$LAB_OUT/"

# Of each message, where it has them: code, number (and that of its target), from, to, bytes asked for, bytes moved,
# status, bus id; of its packets offset, bytes moved, status. A reply says less: from and to are there if tshark found its
# request.
dissect "$LAB_OUT/usbip.pcap" -Y usbip -T fields -E separator=/s -e usbip.operation -e usbip.urb -e usbip.sequence_no \
    -e usb.src -e usb.dst -e usbip.transfer_buffer_length -e usbip.actual_length -e usbip.status -e usbip.busid \
    -e usb.iso.iso_off -e usb.iso.iso_actual_len -e usb.iso.iso_status | sed -E 's/ +/ /g; s/^ | $//g' >found
sed -E '/^#/d' >expected <<END_OF_MESSAGES
# The list of devices, and an import.
0x8005 0
0x0005 0 1-1
0x8003 0 1-1
0x0003 0 1-1
# Endpoint 0: a descriptor, a configuration.
0x00000001 1 host 1.2.0 18
0x00000003 1 1.2.0 host 18 0
0x00000001 2 host 1.2.0 0
0x00000003 2 1.2.0 host 0 0
# Bulk transfers in and out, short and in many TCP segments, and an empty one.
0x00000001 3 host 1.2.1 512
0x00000003 3 1.2.1 host 512 0
0x00000001 4 host 1.2.1 512
0x00000003 4 1.2.1 host 512 0
0x00000001 5 host 1.2.1 100000
0x00000003 5 1.2.1 host 100000 0
0x00000001 6 host 1.2.1 100000
0x00000003 6 1.2.1 host 100000 0
0x00000001 7 host 1.2.1 0
0x00000003 7 1.2.1 host 0 0
# Isochronous transfers out and in.
0x00000001 8 host 1.2.3 300 0,100,200 0,0,0 -18,-18,-18
0x00000003 8 1.2.3 host 300 0 0,100,200 100,100,100 0,0,0
0x00000001 9 host 1.2.3 300 0,100,200 0,0,0 -18,-18,-18
0x00000003 9 1.2.3 host 300 0 0,100,200 100,100,100 0,0,0
# A transfer that is unlinked while it waits: no reply of its own.
0x00000001 10 host 1.2.1 512
0x00000002 11,10
0x00000004 11 -104
END_OF_MESSAGES
diff expected found || fail "tshark reads other messages than were sent"
note "$(wc -l <found) messages"
