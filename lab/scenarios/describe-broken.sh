# about: broken devices behind vhci_hcd: what the kernel says of each is what the linter finds
# timeout: 500
# programs: describe lab-raw
# allow-log: usb .*

load_vhci

# bytes HEX...: as bytes, whatever the grouping.
bytes() {
    printf '%b' "$(tr -d ' ' <<<"$*" | sed 's/../\\x&/g')"
}

# A vendor's device at each speed, 1209:0001, and the parts of its configuration.
declare -A device=(
    [low]='12 01 00 02 00 00 00 08 09 12 01 00 00 01 00 00 00 01'
    [full]='12 01 00 02 00 00 00 40 09 12 01 00 00 01 00 00 00 01'
    [high]='12 01 00 02 00 00 00 40 09 12 01 00 00 01 00 00 00 01'
    [super]='12 01 00 03 00 00 00 09 09 12 01 00 00 01 00 00 00 01'
)
bos='05 0f 16 00 02  07 10 02 02 00 00 00  0a 10 03 00 0e 00 01 0a ff 07'
interface() { printf '09 04 %02x %02x %02x ff 00 00 00 ' "$1" "$2" "$3"; }
# endpoint ADDRESS ATTRIBUTES SIZE INTERVAL
endpoint() { printf '07 05 %02x %02x %02x %02x %02x ' "$1" "$2" $(($3 & 255)) $(($3 >> 8)) "$4"; }

# configuration INTERFACES DESCRIPTORS
configuration() {
    local body=${2// /} total
    total=$((9 + ${#body} / 2))
    printf '09 02 %02x %02x %02x 01 00 80 32 %s' $((total & 255)) $((total >> 8)) "$1" "$body"
}

declare -a failures=()
cases=0
# expect RULE SPEED NOTICE INTERFACES DESCRIPTORS: the kernel gives the notice, the linter names the rule.
expect() {
    local rule=$1 speed=$2 notice=$3 tail=''
    [[ $speed != super ]] || tail=$bos
    bytes "${device[$speed]} $(configuration "$4" "$5") $tail" >broken.bin
    judge "$rule" "$speed" "$notice"
}

# judge RULE SPEED NOTICE [STRINGS]: of broken.bin. Only whoever attaches the device knows what it does not have.
judge() {
    local rule=$1 speed=$2 notice=$3 pid port marker
    cases=$((cases + 1))
    cp broken.bin "$LAB_OUT/$cases-$rule-$speed.bin"
    describe --findings --speed "$speed" broken.bin >found || true
    marker="describe-broken $cases $rule"
    echo "$marker" >/dev/kmsg
    lab-raw broken.bin "$speed" "${@:4}" >port &
    pid=$!
    wait_until 15 noticed "$marker" "$notice" || failures+=("$rule at $speed: the kernel did not say '$notice'")
    kill "$pid"
    wait "$pid" || true
    [[ $rule != bos-missing && $rule != languages ]] || cp port found
    grep -qE "^(error|warning|info): $rule:" found || failures+=("$rule at $speed: not found by the linter")
    port=$(sed -n 's/^port: //p' port)
    wait_until 20 port_free "$port" || fail "port $port is not free"
    dmesg | sed -n "/$marker\$/,\$p" >"$LAB_OUT/$cases-$rule-$speed.log"
    unexplained "$marker" >silent
    while read -r line; do
        failures+=("$rule at $speed: no finding for '$line'")
    done <silent
    cat found silent >>"$LAB_OUT/$cases-$rule-$speed.log"
}

# What the kernel says of configurations, and the rules that may be broken then.
notices=(
    'has 1 excess byte => trailing-bytes'
    'invalid descriptor of length [01], skipping remainder => length-below-2'
    'invalid descriptor of length [0-9]+, skipping remainder => length-overrun'
    'unexpected descriptor of type => nested-descriptor'
    'invalid (interface|endpoint|interface association) descriptor of length [0-9]+, skipping => length-too-short'
    'unable to read config index [0-9]+ descriptor/start: -61 => configuration-type'
    'invalid descriptor for config index 0: type = 0x2, length = [01]$ => length-below-2'
    'invalid descriptor for config index 0: type = 0x2, length = [2-8]$ => length-too-short'
    'invalid descriptor for config index 0: type = 0x2, => length-overrun'
    'config index [0-9]+ descriptor too short => total-length-beyond'
    'config 0 descriptor\?\? => configuration-value-zero'
    'interfaces?, different from the descriptor.s value => interface-count'
    'has an invalid interface number|has no interface number => interface-number'
    'has no altsetting => setting-gap'
    'Duplicate descriptor for config => setting-duplicate'
    'different from the interface descriptor.s value => endpoint-count'
    'with address 0x[08]0, skipping => endpoint-zero'
    'has a duplicate endpoint => endpoint-duplicate'
    'with address 0x[0-9A-F]+, (changing to|skipping) => endpoint-address'
    'has an invalid bInterval => interval'
    'is Bulk; changing to Interrupt => endpoint-type'
    'wMaxPacketSize 0 => packet-size-zero'
    'has invalid maxpacket => packet-size|high-bandwidth'
    'o SuperSpeed endpoint companion|invalid SuperSpeed endpoint companion => companion-missing'
    'bMaxBurst => companion-burst'
    'more than 65536 streams => companion-streams'
    'Isoc endpoint has Mult|Isoc endpoint with Mult|soc endpoint has Mult => companion-mult'
    'with wBytesPerInterval of 0 in => companion-bytes-zero'
    'with wBytesPerInterval of => companion-bytes'
    'SuperSpeedPlus isoc endpoint companion => plus-companion'
    'referenced by multiple IADs => association-overlap'
    'no configurations => no-configuration'
    'too many |found more Interface Association => too-many'
)

# unexplained MARKER: what the kernel said of configurations since, and nothing in `found` says.
unexplained() {
    local line notice
    local is_about='usb [0-9-]+: .*(config|endpoint|descriptor|interface|IAD|too many)'
    # Of the device and what it is asked for beside; and that nothing comes of a configuration.
    local is_other="device descriptor|BOS descriptor|language id|configurations, error|can't set config"
    dmesg | sed -n "/$1\$/,\$p" |
        while read -r line; do
            [[ $line =~ $is_about && ! $line =~ $is_other ]] || continue
            for notice in "${notices[@]}"; do
                if [[ $line =~ ${notice% => *} ]]; then
                    grep -qE "^(error|warning|info): (${notice##* => }):" found && continue 2
                    break
                fi
            done
            echo "$line"
        done
}

# noticed MARKER NOTICE: the kernel said it since.
noticed() {
    dmesg | sed -n "/$1\$/,\$p" | grep -qE "$2"
}

bulk=$(endpoint 0x81 2 512 0)
one=$(interface 0 0 1)
none=$(interface 0 0 0)

expect trailing-bytes high 'config 1 descriptor has 1 excess byte' 1 "$none 00"
expect length-below-2 high 'invalid descriptor of length 1, skipping remainder' 1 "$none 01 41"
expect length-overrun high 'invalid descriptor of length 9, skipping remainder' 1 "$none 09 41 00"
expect nested-descriptor high 'unexpected descriptor of type 0x2, skipping' 1 "$none 09 02 09 00 00 02 00 80 32"
expect length-too-short high 'invalid interface descriptor of length 8, skipping' 1 "$none 08 04 01 00 00 ff 00 00"
expect length-too-short high 'invalid endpoint descriptor of length 6, skipping' 1 "$one 06 05 81 02 00 02"
expect interface-count high 'has 1 interface, different from the descriptor.s value: 2' 2 "$none"
expect interface-number high 'has an invalid interface number: 2 but max is 1' 2 "$none $(interface 2 0 0)"
expect interface-number high 'has no interface number 1' 2 "$none $(interface 2 0 0)"
expect setting-gap high 'interface 0 has no altsetting 1' 1 "$none $(interface 0 2 0)"
expect setting-duplicate high 'Duplicate descriptor for config 1 interface 0 altsetting 0, skipping' 1 "$none $none"
expect endpoint-count high 'has 1 endpoint descriptor, different from the interface descriptor.s value: 2' 1 "$(interface 0 0 2) $bulk"
expect endpoint-zero high 'has an (invalid endpoint with address|endpoint descriptor with address|invalid endpoint descriptor with address) 0x80, skipping' 1 "$one $(endpoint 0x80 2 512 0)"
expect endpoint-duplicate high 'has a duplicate endpoint with address 0x81, skipping' 1 "$(interface 0 0 2) $bulk $bulk"
expect endpoint-duplicate high 'has a duplicate endpoint with address 0x81, skipping' 2 "$one $bulk $(interface 1 0 1) $bulk"
expect endpoint-address high 'has an (endpoint descriptor with address 0x91, changing to 0x81|invalid endpoint with address 0x91, skipping)' 1 "$one $(endpoint 0x91 2 512 0)"
expect interval high 'endpoint 0x81 has an invalid bInterval 0, changing to 7$' 1 "$one $(endpoint 0x81 3 8 0)"
expect interval high 'endpoint 0x81 has an invalid bInterval 17, changing to 8$' 1 "$one $(endpoint 0x81 3 8 17)"
expect interval super 'endpoint 0x81 has an invalid bInterval 255, changing to 11$' 1 "$one $(endpoint 0x81 3 8 255) 06 30 00 00 08 00"
expect interval full 'endpoint 0x81 has an invalid bInterval 0, changing to 10$' 1 "$one $(endpoint 0x81 3 8 0)"
setting=$(interface 0 1 1)
expect interval high 'endpoint 0x81 has an invalid bInterval 17, changing to 7$' 1 "$none $setting $(endpoint 0x81 1 64 17)"
expect interval full 'endpoint 0x81 has an invalid bInterval 17, changing to 4$' 1 "$none $setting $(endpoint 0x81 1 64 17)"
expect interval super 'endpoint 0x81 has an invalid bInterval 17, changing to 4$' 1 "$none $setting $(endpoint 0x81 1 64 17) 06 30 00 00 40 00"
expect endpoint-type low 'endpoint 0x81 is Bulk; changing to Interrupt' 1 "$one $(endpoint 0x81 2 8 0)"
expect packet-size-zero high 'endpoint 0x81 has (invalid )?wMaxPacketSize 0' 1 "$one $(endpoint 0x81 3 0 4)"
expect packet-size high 'endpoint 0x81 has invalid maxpacket 1025, setting to 1024' 1 "$one $(endpoint 0x81 3 1025 4)"
expect packet-size full 'endpoint 0x81 has invalid maxpacket 512, setting to 64' 1 "$one $bulk"
expect packet-size high 'bulk endpoint 0x81 has invalid maxpacket 64' 1 "$one $(endpoint 0x81 2 64 0)"
expect high-bandwidth full 'endpoint 0x81 has invalid maxpacket' 1 "$one $(endpoint 0x81 3 $((0x0808)) 4)"
expect companion-missing super 'invalid SuperSpeed endpoint companion descriptor of length 0' 1 "$one $(endpoint 0x81 2 1024 0)"
expect companion-missing super 'No SuperSpeed endpoint companion for config 1' 2 "$one $(endpoint 0x81 2 1024 0) $(interface 1 0 0)"
expect companion-burst super 'ndpoint with bMaxBurst = 16 in config 1 .*: setting to 15' 1 "$one $(endpoint 0x81 2 1024 0) 06 30 10 00 00 00"
expect companion-streams super 'ulk endpoint with more than 65536 streams' 1 "$one $(endpoint 0x81 2 1024 0) 06 30 00 11 00 00"
expect companion-mult super 'soc endpoint has Mult of 4 in config 1' 1 "$none $(interface 0 1 1) $(endpoint 0x81 1 1024 1) 06 30 00 03 00 04"
expect plus-companion super 'Invalid SuperSpeedPlus isoc endpoint companion' 1 "$none $setting $(endpoint 0x81 1 1024 1) 06 30 00 80 01 00"
expect companion-bytes super 'endpoint with wBytesPerInterval of 17 in config 1' 1 "$one $(endpoint 0x81 3 8 4) 06 30 00 00 11 00"
expect association-overlap high 'Interface #0 referenced by multiple IADs' 2 "08 0b 00 02 ff 00 00 00 08 0b 00 01 ff 00 00 00 $none $(interface 1 0 0)"

expect companion-bytes-zero super 'Int endpoint with wBytesPerInterval of 0 in config 1' 1 "$one $(endpoint 0x81 3 8 4) 06 30 00 00 00 00"

many=''
for number in {0..32}; do many+=$(interface "$number" 0 0); done
expect too-many high 'has too many interfaces: 33, using maximum allowed: 32' 33 "$many"
many=''
for number in {0..128}; do many+=$(interface 0 "$number" 0); done
expect too-many high 'too many alternate settings for config 1 interface 0: 129, using maximum allowed: 128' 1 "$many"
many=$(interface 0 0 31)
for number in {1..15}; do many+=$(endpoint "$number" 3 8 4)$(endpoint $((number + 128)) 3 8 4); done
expect too-many high 'too many endpoints for config 1 interface 0 altsetting 0: 31, using maximum allowed: 30' 1 "$many$(endpoint 1 3 8 4)"
many=''
for number in {0..16}; do many+="08 0b $(printf '%02x' "$number") 01 ff 00 00 00 $(interface "$number" 0 0)"; done
expect too-many high 'found more Interface Association Descriptors than allocated for in configuration 1' 17 "$many"

# The configuration's own descriptor, with which the device is refused.
bytes "${device[high]} 09 03 12 00 01 01 00 80 32 $none" >broken.bin
judge configuration-type high 'unable to read config index 0 descriptor/start: -61'
bytes "${device[high]} 08 02 11 00 01 01 00 80 $none" >broken.bin
judge length-too-short high 'invalid descriptor for config index 0: type = 0x2, length = 8'
bytes "${device[high]} 00 02 12 00 01 01 00 80 32 $none" >broken.bin
judge length-below-2 high 'invalid descriptor for config index 0: type = 0x2, length = 0'
bytes "${device[high]} 13 02 12 00 01 01 00 80 32 $none" >broken.bin
judge length-overrun high 'invalid descriptor for config index 0: type = 0x2, length = 19'

# The device's own descriptor, and what it is asked for beside.
bytes "${device[high]:0:51}00 $(configuration 1 "$none")" >broken.bin
judge no-configuration high 'no configurations'
bytes "${device[high]:0:51}09 $(for _ in {1..9}; do configuration 1 "$none"; done)" >broken.bin
judge too-many high 'too many configurations: 9, using maximum allowed: 8'
bytes "${device[high]:0:21}07${device[high]:23} $(configuration 1 "$none")" >broken.bin
judge control-packet-size high 'device descriptor read/64, error -71'
bytes "${device[high]:0:21}20${device[high]:23} $(configuration 1 "$none")" >broken.bin
judge control-packet-size high 'Using ep0 maxpacket: 32'
bytes "${device[high]} $(configuration 1 "$none" | sed 's/^\(.\{15\}\)01/\100/')" >broken.bin
judge configuration-value-zero high 'config 0 descriptor'
bytes "${device[high]} 09 02 ff 00 01 01 00 80 32 $none" >broken.bin
judge total-length-beyond high 'config index 0 descriptor too short \(expected 255, got 18\)'
bytes "${device[high]:0:6}01 02${device[high]:11} $(configuration 1 "$none")" >broken.bin
judge bos-missing high 'unable to get BOS descriptor'
bytes "${device[super]:0:6}00 02${device[super]:11} $(configuration 1 "$none") $bos" >broken.bin
judge super-release super 'got a wrong device descriptor, warm reset device'
# A table of languages without a language, and the product's name.
bytes "${device[high]:0:45}01 00 01 $(configuration 1 "$none")" >broken.bin
bytes 02 03 04 03 41 00 >strings.bin
judge languages high 'language id specifier not provided by device, defaulting to English' strings.bin

((${#failures[@]} == 0)) || fail "$(printf '%s; ' "${failures[@]}")"
report "$cases broken devices: each notice of the kernel is a finding of the linter"
