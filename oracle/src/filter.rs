//! `usbredirfilter` by its C interface. The declarations follow Debian's `usbredirfilter.h` of
//! version 0.13.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;

/// `struct usbredirfilter_rule`; −1 matches everything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Rule {
    pub class: c_int,
    pub vendor: c_int,
    pub product: c_int,
    pub version: c_int,
    pub allow: c_int,
}

impl From<&usbredir_proto::filter::Rule> for Rule {
    fn from(rule: &usbredir_proto::filter::Rule) -> Self {
        let number = |number: Option<u16>| number.map_or(-1, c_int::from);
        Self {
            class: rule.class.map_or(-1, c_int::from),
            vendor: number(rule.vendor_id),
            product: number(rule.product_id),
            version: number(rule.release),
            allow: rule.allow.into(),
        }
    }
}

impl Rule {
    /// Every number but 0 allows; here, 1 does.
    #[must_use]
    pub fn plain(self) -> Self {
        Self {
            allow: c_int::from(self.allow != 0),
            ..self
        }
    }
}

#[link(name = "usbredirparser")]
unsafe extern "C" {
    fn usbredirfilter_string_to_rules(
        text: *const c_char,
        token_separators: *const c_char,
        rule_separators: *const c_char,
        rules: *mut *mut Rule,
        count: *mut c_int,
    ) -> c_int;
    fn usbredirfilter_rules_to_string(
        rules: *const Rule,
        count: c_int,
        token_separators: *const c_char,
        rule_separators: *const c_char,
    ) -> *mut c_char;
    fn usbredirfilter_check(
        rules: *const Rule,
        count: c_int,
        class: u8,
        subclass: u8,
        protocol: u8,
        interface_classes: *const u8,
        interface_subclasses: *const u8,
        interface_protocols: *const u8,
        interface_count: c_int,
        vendor: u16,
        product: u16,
        version: u16,
        flags: c_int,
    ) -> c_int;
    fn usbredirfilter_verify(rules: *const Rule, count: c_int) -> c_int;
    pub(crate) fn usbredirfilter_free(memory: *mut c_void);
}

/// What a device is, as the library wants it.
#[derive(Clone, Debug)]
pub struct Device {
    pub class: u8,
    pub vendor: u16,
    pub product: u16,
    pub version: u16,
    /// Class, subclass and protocol.
    pub interfaces: Vec<[u8; 3]>,
}

fn count(rules: &[Rule]) -> c_int {
    c_int::try_from(rules.len()).expect("few")
}

/// Reads rules, with the separators of the wire; `None` where the library refuses the text.
#[must_use]
pub fn parse(text: &CStr) -> Option<Vec<Rule>> {
    let (mut rules, mut count) = (ptr::null_mut(), 0);
    // SAFETY: the strings end in NUL; both results are the library's to set.
    unsafe {
        let result = usbredirfilter_string_to_rules(
            text.as_ptr(),
            c",".as_ptr(),
            c"|".as_ptr(),
            &raw mut rules,
            &raw mut count,
        );
        if result != 0 {
            return None;
        }
        let length = usize::try_from(count).expect("a count");
        let copy = if rules.is_null() {
            Vec::new()
        } else {
            std::slice::from_raw_parts(rules, length).to_vec()
        };
        usbredirfilter_free(rules.cast());
        Some(copy)
    }
}

/// Prints rules; `None` where the library refuses them.
#[must_use]
pub fn print(rules: &[Rule]) -> Option<CString> {
    // SAFETY: as many rules as are counted; the strings end in NUL.
    unsafe {
        let text = usbredirfilter_rules_to_string(
            rules.as_ptr(),
            count(rules),
            c",".as_ptr(),
            c"|".as_ptr(),
        );
        if text.is_null() {
            return None;
        }
        let copy = CStr::from_ptr(text).to_owned();
        usbredirfilter_free(text.cast());
        Some(copy)
    }
}

/// Whether the library finds all numbers within their bounds.
#[must_use]
pub fn verify(rules: &[Rule]) -> bool {
    // SAFETY: as many rules as are counted.
    unsafe { usbredirfilter_verify(rules.as_ptr(), count(rules)) == 0 }
}

/// What the library's check returns: 0 or the negative of an errno.
#[must_use]
pub fn check(rules: &[Rule], device: &Device, flags: c_int) -> c_int {
    let column = |at: usize| -> Vec<u8> { device.interfaces.iter().map(|one| one[at]).collect() };
    let (classes, subclasses, protocols) = (column(0), column(1), column(2));
    // SAFETY: as many rules and interfaces as are counted, which are only read.
    unsafe {
        usbredirfilter_check(
            rules.as_ptr(),
            count(rules),
            device.class,
            0,
            0,
            classes.as_ptr(),
            subclasses.as_ptr(),
            protocols.as_ptr(),
            c_int::try_from(classes.len()).expect("few"),
            device.vendor,
            device.product,
            device.version,
            flags,
        )
    }
}
