//! The rules, in one table: `docs/lint-rules.md` is made from it.

use super::Severity;

/// What a device's descriptors are checked for.
///
/// ```
/// use usb_descriptors::lint::Rule;
/// let rule = Rule::by_id("packet-size").unwrap();
/// println!("{}: {}", rule.severity(), rule.explanation());
/// ```
#[derive(PartialEq, Eq, Debug)]
pub struct Rule {
    id: &'static str,
    severity: Severity,
    explanation: &'static str,
    clause: &'static str,
    linux: &'static str,
}

impl Rule {
    /// The rule of a name.
    #[must_use]
    pub fn by_id(id: &str) -> Option<&'static Self> {
        RULES.iter().find(|rule| rule.id == id).copied()
    }

    /// Its name, which stays the same.
    #[must_use]
    pub const fn id(&self) -> &'static str {
        self.id
    }

    /// How bad it is to break it.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        self.severity
    }

    /// What is wrong where it is broken.
    #[must_use]
    pub const fn explanation(&self) -> &'static str {
        self.explanation
    }

    /// Where a specification says so.
    #[must_use]
    pub const fn clause(&self) -> &'static str {
        self.clause
    }

    /// What Linux does about it (`drivers/usb/core/config.c` and `hub.c` unless said otherwise).
    #[must_use]
    pub const fn linux(&self) -> &'static str {
        self.linux
    }
}

macro_rules! rules {
    ($($rule:ident $id:literal $severity:ident: $explanation:literal, $clause:literal, $linux:literal;)*) => {
        $(
            #[doc = concat!("`", $id, "`: ", $explanation, ".")]
            pub static $rule: Rule = Rule {
                id: $id,
                severity: Severity::$severity,
                explanation: $explanation,
                clause: $clause,
                linux: $linux,
            };
        )*

        /// All rules.
        pub static RULES: &[&Rule] = &[$(&$rule),*];
    };
}

rules! {
    LENGTH_BELOW_2 "length-below-2" Error: "a descriptor states a length below 2, so that what follows cannot be found", "USB 2.0, 9.5", "stops there, and takes what was before as the whole; refuses the device where it is the configuration's own";
    LENGTH_OVERRUN "length-overrun" Error: "a descriptor states more bytes than are left", "USB 2.0, 9.5", "stops there, and takes what was before as the whole; refuses the device where it is the configuration's own";
    TRAILING_BYTES "trailing-bytes" Warning: "a single byte is left, too few for a descriptor", "USB 2.0, 9.5", "ignores it, with a notice";
    LENGTH_TOO_SHORT "length-too-short" Error: "a descriptor is shorter than its kind", "USB 2.0, 9.5", "passes over interfaces, endpoints and associations that are too short; refuses the device where a configuration is; class drivers refuse or ignore theirs";
    LENGTH_BEYOND_KNOWN "length-beyond-known" Info: "a descriptor has more bytes than are known of its kind", "USB 2.0, 9.5", "ignores the rest";
    CONFIGURATION_TYPE "configuration-type" Error: "a configuration does not begin with a configuration descriptor", "USB 2.0, table 9-10", "refuses the device, with a notice";
    TOTAL_LENGTH_BEYOND "total-length-beyond" Error: "wTotalLength states more bytes than the device has", "USB 2.0, table 9-10", "takes what it got, and writes its length into the field";
    TOTAL_LENGTH_SHORT "total-length-short" Warning: "wTotalLength states fewer bytes than the device has", "USB 2.0, table 9-10", "never fetches the rest";
    NESTED_DESCRIPTOR "nested-descriptor" Error: "a device, configuration or other descriptor that is fetched alone stands inside a configuration", "USB 2.0, 9.4.3", "passes over devices and configurations, with a notice";
    ENDPOINT_BEFORE_INTERFACE "endpoint-before-interface" Error: "an endpoint stands before any interface", "USB 2.0, 9.6.6", "never sees it";
    INTERFACE_COUNT "interface-count" Warning: "bNumInterfaces is not the number of interfaces", "USB 2.0, table 9-10", "counts them itself, with a notice";
    INTERFACE_NUMBER "interface-number" Warning: "interface numbers are not 0, 1, 2 and so on", "USB 2.0, table 9-12", "gives notice of each that is missing or too high";
    SETTING_DUPLICATE "setting-duplicate" Error: "an interface has the same alternate setting twice", "USB 2.0, table 9-12", "passes over the second, with a notice";
    SETTING_GAP "setting-gap" Warning: "the alternate settings of an interface are not 0, 1, 2 and so on", "USB 2.0, table 9-12", "gives notice of each that is missing";
    ENDPOINT_COUNT "endpoint-count" Warning: "bNumEndpoints is not the number of endpoints", "USB 2.0, table 9-12", "counts them itself, with a notice";
    ENDPOINT_ZERO "endpoint-zero" Error: "endpoint 0 is described, which never has a descriptor", "USB 2.0, 9.6.6", "passes over it, with a notice";
    ENDPOINT_ADDRESS "endpoint-address" Warning: "bits 6..4 of bEndpointAddress are set, which are reserved", "USB 2.0, table 9-13", "clears them, with a notice; older kernels, 6.1 among them, pass over the endpoint where bit 4 is set";
    ENDPOINT_DUPLICATE "endpoint-duplicate" Error: "an endpoint is described twice in one alternate setting, or by two interfaces", "USB 2.0, 9.6.5", "passes over the second, with a notice";
    ENDPOINT_TYPE "endpoint-type" Error: "low speed has neither bulk nor isochronous endpoints", "USB 2.0, 5.3.1.1", "makes a bulk endpoint an interrupt one, with a notice";
    PACKET_SIZE "packet-size" Error: "wMaxPacketSize is illegal for the endpoint's type at this speed", "USB 2.0, 5.5.3 to 5.8.3; USB 3.2, table 9-26", "cuts it to the largest that is legal; gives notice of bulk endpoints at high speed that have not 512";
    PACKET_SIZE_ZERO "packet-size-zero" Warning: "wMaxPacketSize of a periodic endpoint is 0 outside of alternate setting 0", "USB 2.0, 5.6.3", "gives notice of it";
    HIGH_BANDWIDTH "high-bandwidth" Error: "bits 12..11 of wMaxPacketSize are 3, or set where no more than one transaction exists", "USB 2.0, table 9-13", "masks them outside of periodic endpoints at high speed";
    INTERVAL "interval" Warning: "bInterval is out of range, which at low speed begins at 10 ms", "USB 2.0, table 9-13 and 5.7.4; USB 3.2, table 9-26", "takes another: of interrupts 10 at low and full speed, above them 7 for 0 and else the power of two that is next below so many milliseconds; of isochronous endpoints 7 at high speed and 4 at others";
    BANDWIDTH_IN_SETTING_0 "bandwidth-in-setting-0" Warning: "an isochronous endpoint needs bandwidth in alternate setting 0, which is selected by default", "USB 2.0, 5.6.3", "takes it";
    ENDPOINT_ATTRIBUTES "endpoint-attributes" Warning: "bits of bmAttributes are set that mean nothing for the endpoint's type", "USB 2.0, table 9-13; USB 3.2, table 9-26", "looks at bits 1..0 alone; snd-usb-audio looks at the others";
    FEEDBACK_MISSING "feedback-missing" Warning: "an asynchronous isochronous OUT endpoint has no feedback endpoint", "USB 2.0, 5.12.4.2", "snd-usb-audio sends at the nominal rate, and drifts";
    COMPANION_MISSING "companion-missing" Error: "an endpoint at SuperSpeed is not followed by its companion", "USB 3.2, 9.6.7", "makes one up: no bursts, no streams";
    COMPANION_MISPLACED "companion-misplaced" Error: "a companion does not directly follow its endpoint", "USB 3.2, 9.6.7", "looks for it before the next endpoint";
    COMPANION_BURST "companion-burst" Error: "bMaxBurst is above 15, or not 0 for a control endpoint", "USB 3.2, table 9-27", "takes 15, or 0";
    COMPANION_STREAMS "companion-streams" Error: "a bulk endpoint states more than 2^16 streams", "USB 3.2, table 9-27", "takes 2^16";
    COMPANION_MULT "companion-mult" Error: "Mult of an isochronous endpoint is above 2, or bmAttributes is set where it means nothing", "USB 3.2, table 9-27", "takes 2, or 0";
    COMPANION_BYTES "companion-bytes" Error: "wBytesPerInterval is more than the bursts of an interval carry", "USB 3.2, table 9-27", "takes what they carry";
    COMPANION_BYTES_ZERO "companion-bytes-zero" Warning: "wBytesPerInterval of an interrupt endpoint is 0", "USB 3.2, table 9-27", "takes what a burst carries, with a notice; older kernels reserve no bandwidth";
    PLUS_COMPANION "plus-companion" Error: "a SuperSpeedPlus companion is announced and missing, or there and not announced", "USB 3.2, 9.6.8", "looks for it only where it is announced";
    ASSOCIATION_RANGE "association-range" Warning: "an interface association names interfaces that do not exist", "USB 3.2, 9.6.4", "uvcvideo, cdc_acm and others look for them in vain";
    ASSOCIATION_OVERLAP "association-overlap" Warning: "two interface associations share an interface", "USB 3.2, 9.6.4", "takes the first, with a notice";
    ASSOCIATION_CLASS "association-class" Warning: "there are interface associations, and the device's class is not EF/02/01", "Interface Association Descriptor ECN, 1", "takes them all the same; Windows does not";
    ASSOCIATION_MISSING "association-missing" Warning: "a function of several interfaces in a device of several functions has no association", "Interface Association Descriptor ECN, 1; UAC 2.0, 4.6; UVC 1.5, 3.6", "drivers find the interfaces by class descriptors";
    ATTRIBUTES_BIT_7 "attributes-bit-7" Warning: "bit 7 of the configuration's bmAttributes is clear, which is always set", "USB 2.0, table 9-10", "does not look at it";
    ATTRIBUTES_RESERVED "attributes-reserved" Warning: "bits 4..0 of the configuration's bmAttributes are set, which are reserved", "USB 2.0, table 9-10", "does not look at them";
    MAX_POWER "max-power" Warning: "bMaxPower is more than a port gives", "USB 2.0, 7.2.1; USB 3.2, 11.4.1", "prefers another configuration, or refuses this one behind a hub without power of its own";
    CONTROL_PACKET_SIZE "control-packet-size" Error: "bMaxPacketSize0 is illegal at this speed", "USB 2.0, table 9-8; USB 3.2, table 9-11", "refuses the device, or takes what the speed allows";
    SUPER_RELEASE "super-release" Error: "bcdUSB is below 3.00 at SuperSpeed", "USB 3.2, table 9-11", "resets the link once, then refuses the device";
    RELEASE_DIGITS "release-digits" Warning: "a release number is not in binary-coded decimal", "USB 2.0, table 9-8", "does not look at it";
    NO_CONFIGURATION "no-configuration" Error: "the device states to have no configuration", "USB 2.0, table 9-8", "refuses the device";
    CONFIGURATION_COUNT "configuration-count" Warning: "bNumConfigurations is not the number of configurations", "USB 2.0, table 9-8", "asks for as many as are stated, and takes those that answer";
    TOO_MANY "too-many" Warning: "there are more configurations (8), interfaces (32), settings (128), endpoints of a setting (30) or associations (16) than hosts take", "USB 2.0, 9.6 sets no such limit", "takes only the first";
    BOS_COUNT "bos-count" Warning: "bNumDeviceCaps is not the number of capabilities", "USB 3.2, table 9-12", "takes those that it finds";
    BOS_USB2_EXTENSION "bos-usb2-extension" Error: "a device at SuperSpeed has no USB 2.0 extension capability", "USB 3.2, 9.6.2.1", "does without link power management";
    BOS_SUPERSPEED "bos-superspeed" Error: "a device at SuperSpeed has no SuperSpeed capability", "USB 3.2, 9.6.2.2", "does without the link's low-power states";
    BOS_MISSING "bos-missing" Warning: "bcdUSB is 2.01 or higher, and there is no binary device object store", "USB 3.2, 9.6.2", "gives notice that it cannot be had";
    STRING_MISSING "string-missing" Warning: "a descriptor names a string that the device does not have", "USB 2.0, 9.6.7", "shows nothing";
    STRING_ODD "string-odd" Warning: "a string descriptor has an odd length, or another than it states", "USB 2.0, 9.6.7", "drops the odd byte";
    STRING_NUL "string-nul" Warning: "a string ends in NUL, which descriptors do not need", "USB 2.0, 9.6.7", "takes it as a character";
    STRING_SURROGATE "string-surrogate" Warning: "a string has half of a surrogate pair", "Unicode, 3.9", "puts a replacement for it";
    LANGUAGES "languages" Warning: "the table of languages is empty or of odd length, though there are strings", "USB 2.0, table 9-15", "assumes English (United States), with a notice";
    CONFIGURATION_VALUE_ZERO "configuration-value-zero" Warning: "a configuration has the value 0, which means not configured", "USB 2.0, 9.4.7", "selects it all the same, with a notice";
    CONFIGURATION_VALUE_REPEATED "configuration-value-repeated" Warning: "two configurations have the same value", "USB 2.0, table 9-10", "selects the first";
    HID_MISSING "hid-missing" Error: "an interface of class HID has no HID descriptor", "HID 1.11, 6.2.1", "usbhid does not take the interface";
    HID_MISPLACED "hid-misplaced" Warning: "the HID descriptor stands behind an endpoint", "HID 1.11, 7.1", "usbhid looks for it there too";
    HID_COUNT "hid-count" Warning: "bNumDescriptors is not the number of the HID descriptor's entries", "HID 1.11, 6.2.1", "usbhid counts by bLength";
    HID_REPORT_LENGTH "hid-report-length" Error: "the report descriptor's length is missing, 0 or above 4096", "HID 1.11, 6.2.1", "usbhid does not take the interface";
    BOT_ENDPOINTS "bot-endpoints" Error: "Bulk-Only Transport has not exactly one bulk endpoint each way", "Bulk-Only Transport 1.0, 4.4", "usb-storage does not take the interface where one is missing";
    UNION_ABSENT "union-absent" Error: "a CDC union names an interface that does not exist", "CDC 1.2, 5.2.3.2", "cdc_acm and cdc_ether do not take the function, or guess";
    HEADER_INTERFACES "header-interfaces" Error: "an audio or video header names a streaming interface that does not exist", "UAC 1.0, table 4-2; UVC 1.5, table 3-3", "snd-usb-audio and uvcvideo do without it";
    CLASS_TOTAL_LENGTH "class-total-length" Warning: "wTotalLength of a class header is not the length of the interface's class descriptors", "UAC 1.0, table 4-2; UVC 1.5, table 3-3 and 3-14", "does not look at it";
    ENTITY_DUPLICATE "entity-duplicate" Error: "two entities of an audio or video function have the same number", "UAC 1.0, 4.3.2; UVC 1.5, 3.7.2", "snd-usb-audio takes the first; uvcvideo passes over the second";
    ENTITY_SOURCE "entity-source" Error: "an entity of an audio or video function is fed by one that does not exist", "UAC 1.0, 4.3.2; UVC 1.5, 3.7.2", "snd-usb-audio does not make its controls; uvcvideo drops the chain";
    ENTITY_CYCLE "entity-cycle" Error: "entities of an audio or video function feed each other in a circle", "UAC 1.0, 3.5; UVC 1.5, 2.3", "snd-usb-audio stops where it was before; uvcvideo drops the chain";
    TERMINAL_LINK "terminal-link" Warning: "an audio stream is linked to a terminal that does not exist", "UAC 1.0, table 4-19; UAC 2.0, table 4-27", "snd-usb-audio passes over the setting from audio class 2 on, and knows no channel map below";
    FRAME_INTERVALS "frame-intervals" Error: "a size of pictures has fewer frame intervals than it states: a count, or 0 for lowest, highest and step", "UVC 1.5 uncompressed and MJPEG payload, tables 3-2 to 3-4", "uvcvideo does not take the streaming interface";
    PIPE_USAGE "pipe-usage" Error: "the pipes of USB Attached SCSI are not 1 to 4, each once", "UAS 1.0, 5.2.3.6", "uas does not take the interface";
    QUALIFIER_MISSING "qualifier-missing" Warning: "a device at high speed has no qualifier", "USB 2.0, 9.6.2", "does not ask for it";
    FULL_SPEED_ONLY "full-speed-only" Info: "a device of USB 2.00 at full speed has no qualifier: it never works at high speed", "USB 2.0, 9.6.2", "does not ask for it, or tells that a port's other speed is better";
    OTHER_SPEED_TYPE "other-speed-type" Warning: "an other-speed configuration does not have the type 07", "USB 2.0, 9.6.4", "does not ask for it";
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_rule_has_a_name_of_its_own() {
        let ids: BTreeSet<_> = RULES.iter().map(|rule| rule.id).collect();
        assert_eq!(ids.len(), RULES.len());
    }
}
