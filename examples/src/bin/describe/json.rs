//! A device and what is wrong with it as JSON (RFC 8259).

use std::fmt::Write as _;

use usb_descriptors::lint::{Finding, Rule};
use usb_descriptors::{
    Asked, Configuration, Descriptors, DeviceBytes, Field, Layout, Level, Speed, StringDescriptor,
};

/// The speed, the findings and, where it is given, the device with each of its bytes.
pub(crate) fn json(device: Option<&DeviceBytes<'_>>, speed: Speed, findings: &[Finding]) -> String {
    let speed = quoted(&speed.to_string());
    let device = device.map_or(String::new(), |device| {
        let descriptors = descriptors(device);
        let strings = strings(device);
        format!("\"descriptors\":{descriptors},\"strings\":{strings},")
    });
    let findings = array(findings.iter().map(finding));
    format!("{{\"speed\":{speed},{device}\"findings\":{findings}}}")
}

fn descriptors(device: &DeviceBytes<'_>) -> String {
    let mut all = Vec::new();
    let single = [
        device.device_bytes(),
        bytes_of(device.qualifier_bytes()),
        bytes_of(device.bos_bytes()),
    ];
    for bytes in single.into_iter().flatten() {
        all.extend(alone(0, bytes));
    }
    for bytes in device.each_configuration().chain(device.each_other_speed()) {
        let Ok(configuration) = Configuration::parse(bytes) else {
            all.extend(alone(1, bytes));
            continue;
        };
        for node in configuration.nodes() {
            let level = match node.level() {
                Level::Configuration => 1,
                Level::Function | Level::Interface => 2,
                Level::InterfaceDetail | Level::Endpoint => 3,
                Level::EndpointDetail => 4,
            };
            let bytes = node.descriptor().bytes();
            all.push(descriptor(node.layout(), level, bytes, node.fields()));
        }
        // What lies behind the total length.
        let rest = bytes.get(configuration.bytes().len()..);
        all.extend(alone(2, rest.unwrap_or(&[])));
    }
    array(all)
}

fn alone(level: u8, bytes: &[u8]) -> impl Iterator<Item = String> {
    Descriptors::new(bytes)
        .map(move |each| descriptor(each.layout(), level, each.bytes(), each.fields()))
}

fn descriptor<'a>(
    layout: Option<&Layout>,
    level: u8,
    bytes: &[u8],
    fields: impl Iterator<Item = Field<'a>>,
) -> String {
    let title = quoted(layout.map_or("Unknown", Layout::title));
    let bytes = quoted(&hex(bytes));
    let fields = array(fields.map(|field| {
        let (name, value) = (quoted(field.name()), quoted(&field.to_string()));
        let meaning = field.meaning().map_or(String::new(), |meaning| {
            format!(",\"meaning\":{}", quoted(meaning))
        });
        format!("{{\"name\":{name},\"value\":{value}{meaning}}}")
    }));
    format!("\n{{\"title\":{title},\"level\":{level},\"bytes\":{bytes},\"fields\":{fields}}}")
}

fn strings(device: &DeviceBytes<'_>) -> String {
    let strings = device.known_strings().unwrap_or(&[]);
    array(strings.iter().map(|string| {
        let (index, bytes) = (string.index, quoted(&hex(string.bytes)));
        // The table of languages is no text.
        let parsed = StringDescriptor::parse(string.bytes).ok();
        let text = parsed.filter(|_| index != 0);
        let text = text.map_or("null".into(), |text| quoted(&text.to_string()));
        format!("\n{{\"index\":{index},\"bytes\":{bytes},\"text\":{text}}}")
    }))
}

fn finding(finding: &Finding) -> String {
    let number = |value: Option<u32>| value.map_or("null".into(), |value| value.to_string());
    format!(
        "\n{{{},\"subject\":{},\"start\":{},\"end\":{},\"found\":{},\"expected\":{}}}",
        about(finding.rule),
        quoted(&finding.subject.to_string()),
        finding.range().start,
        finding.range().end,
        number(finding.found),
        number(finding.expected)
    )
}

/// What rules are about.
pub(crate) fn rules(rules: &[&Rule]) -> String {
    array(rules.iter().map(|rule| format!("\n{{{}}}", about(rule))))
}

fn about(rule: &Rule) -> String {
    format!(
        "\"rule\":{},\"severity\":{},\"explanation\":{},\"clause\":{},\"linux\":{}",
        quoted(rule.id()),
        quoted(&rule.severity().to_string()),
        quoted(rule.explanation()),
        quoted(rule.clause()),
        quoted(rule.linux())
    )
}

fn array(items: impl IntoIterator<Item = String>) -> String {
    let items: Vec<String> = items.into_iter().collect();
    format!("[{}]", items.join(","))
}

fn bytes_of(asked: Asked<'_>) -> Option<&[u8]> {
    match asked {
        Asked::Bytes(bytes) => Some(bytes),
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A string (RFC 8259, section 7).
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            character if u32::from(character) < 0x20 => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(character));
            }
            character => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped() {
        assert_eq!(quoted("a\"\\\n"), "\"a\\\"\\\\\\u000a\"");
    }
}
