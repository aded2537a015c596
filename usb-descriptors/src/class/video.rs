//! Video devices (UVC 1.1 and 1.5).

use crate::layout::Show::{Bcd, Bits, Decimal, Guid, Hex, HexNamed, Named, Raw, Text};
use crate::layout::{Bit, Part, bit, by, family, n, rest_but, views};
use crate::names;

views! {
    /// The header of the control interface, read in place (UVC 1.5, table 3-3).
    Header "VideoControl Interface" ("HEADER") 12 {
        release: u16 = "bcdUVC", Bcd, "release of the video class";
        total_length: u16 = "wTotalLength", Hex, "bytes of all class descriptors of the control interface";
        clock_frequency: u32 = "dwClockFrequency", Decimal, "the device's clock, in Hz";
        interface_count: u8 = "bInCollection", Decimal, "streaming interfaces of this function";
        interfaces: values(n(1), by("bInCollection")) = "baInterfaceNr", Decimal, "their numbers";
    }

    /// Where pictures enter the function, read in place (UVC 1.5, table 3-4).
    InputTerminal "VideoControl Interface" ("INPUT_TERMINAL") 8 {
        id: u8 = "bTerminalID", Decimal, "the terminal's number";
        terminal_type: u16 = "wTerminalType", HexNamed(names::video_terminal), "what it is";
        associated: u8 = "bAssocTerminal", Decimal, "the output terminal that belongs to it";
        string: u8 = "iTerminal", Text, "index of its string";
    }

    /// A camera's sensor, read in place (UVC 1.5, table 3-6).
    CameraTerminal "VideoControl Interface" ("INPUT_TERMINAL") 15 {
        id: u8 = "bTerminalID", Decimal, "the terminal's number";
        terminal_type: u16 = "wTerminalType", HexNamed(names::video_terminal), "0201h";
        associated: u8 = "bAssocTerminal", Decimal, "the output terminal that belongs to it";
        string: u8 = "iTerminal", Text, "index of its string";
        focal_length_min: u16 = "wObjectiveFocalLengthMin", Decimal, "shortest focal length";
        focal_length_max: u16 = "wObjectiveFocalLengthMax", Decimal, "longest focal length";
        focal_length: u16 = "wOcularFocalLength", Decimal, "focal length of the ocular";
        control_size: u8 = "bControlSize", Decimal, "bytes of the controls";
        controls: values(by("bControlSize"), n(1)) = "bmControls", Bits(CAMERA), "which controls there are";
    }

    /// Where pictures leave the function, read in place (UVC 1.5, table 3-5).
    OutputTerminal "VideoControl Interface" ("OUTPUT_TERMINAL") 9 {
        id: u8 = "bTerminalID", Decimal, "the terminal's number";
        terminal_type: u16 = "wTerminalType", HexNamed(names::video_terminal), "what it is";
        associated: u8 = "bAssocTerminal", Decimal, "the input terminal that belongs to it";
        source: u8 = "bSourceID", Decimal, "the entity that feeds it";
        string: u8 = "iTerminal", Text, "index of its string";
    }

    /// A selector, read in place (UVC 1.5, table 3-7).
    SelectorUnit "VideoControl Interface" ("SELECTOR_UNIT") 6 {
        id: u8 = "bUnitID", Decimal, "the unit's number";
        pin_count: u8 = "bNrInPins", Decimal, "inputs";
        sources: values(n(1), by("bNrInPins")) = "baSource", Decimal, "the entities that feed them";
        string: u8 = "iSelector", Text, "index of its string";
    }

    /// Brightness, contrast and others, read in place (UVC 1.5, table 3-8).
    ProcessingUnit "VideoControl Interface" ("PROCESSING_UNIT") 9 {
        id: u8 = "bUnitID", Decimal, "the unit's number";
        source: u8 = "bSourceID", Decimal, "the entity that feeds it";
        max_multiplier: u16 = "wMaxMultiplier", Decimal, "highest digital zoom, in hundredths";
        control_size: u8 = "bControlSize", Decimal, "bytes of the controls";
        controls: values(by("bControlSize"), n(1)) = "bmControls", Bits(PROCESSING), "which controls there are";
        string: u8 = "iProcessing", Text, "index of its string";
        standards: u8 = "bmVideoStandards", Bits(&[
            bit(0, "None"), bit(1, "NTSC - 525/60"), bit(2, "PAL - 625/50"),
            bit(3, "SECAM - 625/50"), bit(4, "NTSC - 625/50"), bit(5, "PAL - 525/60"),
        ]), "analogue standards, from 1.1 on";
    }

    /// A vendor's unit, read in place (UVC 1.5, table 3-10).
    ExtensionUnit "VideoControl Interface" ("EXTENSION_UNIT") 24 {
        id: u8 = "bUnitID", Decimal, "the unit's number";
        guid: bytes(16) = "guidExtensionCode", Guid, "whose unit it is";
        control_count: u8 = "bNumControls", Decimal, "controls";
        pin_count: u8 = "bNrInPins", Decimal, "inputs";
        sources: values(n(1), by("bNrInPins")) = "baSourceID", Decimal, "the entities that feed them";
        control_size: u8 = "bControlSize", Decimal, "bytes of the controls";
        controls: values(n(1), by("bControlSize")) = "bmControls", Hex, "which controls there are";
        string: u8 = "iExtension", Text, "index of its string";
    }

    /// An encoder, read in place (UVC 1.5, table 3-9).
    EncodingUnit "VideoControl Interface" ("ENCODING_UNIT") 7 {
        id: u8 = "bUnitID", Decimal, "the unit's number";
        source: u8 = "bSourceID", Decimal, "the entity that feeds it";
        string: u8 = "iEncoding", Text, "index of its string";
        control_size: u8 = "bControlSize", Decimal, "bytes of the controls";
        controls: values(by("bControlSize"), n(1)) = "bmControls", Hex, "which controls there are";
        runtime_controls: values(by("bControlSize"), n(1)) = "bmControlsRuntime", Hex, "which can be set while it runs";
    }

    /// The interrupt endpoint of the control interface, read in place (UVC 1.5, table 3-12).
    ControlEndpoint "VideoControl Endpoint" ("EP_INTERRUPT") 5 {
        max_transfer: u16 = "wMaxTransferSize", Decimal, "longest message, in bytes";
    }

    /// A streaming interface that brings pictures, read in place (UVC 1.5, table 3-14).
    InputHeader "VideoStreaming Interface" ("INPUT_HEADER") 13 {
        format_count: u8 = "bNumFormats", Decimal, "formats";
        total_length: u16 = "wTotalLength", Hex, "bytes of all class descriptors of the streaming interface";
        endpoint: u8 = "bEndpointAddress", Show::Endpoint, "the endpoint that carries them";
        info: u8 = "bmInfo", Decimal, "bit 0: the format can change by itself";
        terminal_link: u8 = "bTerminalLink", Decimal, "the terminal it is linked to";
        still_method: u8 = "bStillCaptureMethod", Decimal, "how stills are taken, 0 for not";
        trigger_support: u8 = "bTriggerSupport", Decimal, "whether a button takes stills";
        trigger_usage: u8 = "bTriggerUsage", Decimal, "what the button does";
        control_size: u8 = "bControlSize", Decimal, "bytes of the controls of each format";
        controls: values(by("bControlSize"), by("bNumFormats")) = "bmaControls", Decimal, "controls of each format";
    }

    /// A streaming interface that takes pictures, read in place (UVC 1.5, table 3-15).
    OutputHeader "VideoStreaming Interface" ("OUTPUT_HEADER") 9 {
        format_count: u8 = "bNumFormats", Decimal, "formats";
        total_length: u16 = "wTotalLength", Hex, "bytes of all class descriptors of the streaming interface";
        endpoint: u8 = "bEndpointAddress", Show::Endpoint, "the endpoint that carries them";
        terminal_link: u8 = "bTerminalLink", Decimal, "the terminal it is linked to";
        control_size: u8 = "bControlSize", Decimal, "bytes of the controls of each format";
        controls: values(by("bControlSize"), by("bNumFormats")) = "bmaControls", Decimal, "controls of each format";
    }

    /// Sizes of stills, read in place (UVC 1.5, table 3-18).
    StillFrame "VideoStreaming Interface" ("STILL_IMAGE_FRAME") 6 {
        endpoint: u8 = "bEndpointAddress", Show::Endpoint, "the endpoint that carries them, 0 for the video's";
        size_count: u8 = "bNumImageSizePatterns", Decimal, "sizes";
        sizes: group(by("bNumImageSizePatterns"), &[
            Part::number("wWidth", 2, Decimal),
            Part::number("wHeight", 2, Decimal),
        ]) = "wSizes", Decimal, "width and height of each, four bytes";
        compression_count: u8 = "bNumCompressionPatterns", Decimal, "compressions";
        compressions: values(n(1), by("bNumCompressionPatterns")) = "bCompression", Decimal, "each of them";
    }

    /// Uncompressed pictures, read in place (UVC 1.5 uncompressed payload, table 3-1).
    FormatUncompressed "VideoStreaming Interface" ("FORMAT_UNCOMPRESSED") 27 {
        index: u8 = "bFormatIndex", Decimal, "the format's number, from 1";
        frame_count: u8 = "bNumFrameDescriptors", Decimal, "sizes that follow";
        guid: bytes(16) = "guidFormat", Guid, "the format";
        bits_per_pixel: u8 = "bBitsPerPixel", Decimal, "bits of one pixel";
        default_frame: u8 = "bDefaultFrameIndex", Decimal, "the size to begin with";
        aspect_x: u8 = "bAspectRatioX", Decimal, "aspect ratio of interlaced pictures, horizontally";
        aspect_y: u8 = "bAspectRatioY", Decimal, "and vertically";
        interlace: u8 = "bmInterlaceFlags", Bits(INTERLACE), "how they are interlaced";
        copy_protect: u8 = "bCopyProtect", Decimal, "1 if copies are restricted";
    }

    /// A size of uncompressed pictures, read in place (UVC 1.5 uncompressed payload, table 3-2).
    FrameUncompressed "VideoStreaming Interface" ("FRAME_UNCOMPRESSED") 26 {
        index: u8 = "bFrameIndex", Decimal, "the size's number, from 1";
        capabilities: u8 = "bmCapabilities", Bits(FRAME), "stills, and whether the rate is fixed";
        width: u16 = "wWidth", Decimal, "pixels of a line";
        height: u16 = "wHeight", Decimal, "lines";
        min_bit_rate: u32 = "dwMinBitRate", Decimal, "lowest rate, in bit/s";
        max_bit_rate: u32 = "dwMaxBitRate", Decimal, "highest rate, in bit/s";
        max_frame_buffer: u32 = "dwMaxVideoFrameBufferSize", Decimal, "bytes of one picture";
        default_interval: u32 = "dwDefaultFrameInterval", Decimal, "the interval to begin with, in 100 ns";
        interval_type: u8 = "bFrameIntervalType", Decimal, "0 for a range, else how many intervals follow";
        intervals: values(n(4), rest_but(0)) = "dwFrameInterval", Decimal, "intervals in 100 ns, or lowest, highest and step";
    }

    /// Motion JPEG, read in place (UVC 1.5 MJPEG payload, table 3-1).
    FormatMjpeg "VideoStreaming Interface" ("FORMAT_MJPEG") 11 {
        index: u8 = "bFormatIndex", Decimal, "the format's number, from 1";
        frame_count: u8 = "bNumFrameDescriptors", Decimal, "sizes that follow";
        flags: u8 = "bFlags", Bits(&[bit(0, "Fixed-size samples: Yes"), Bit { mask: 1, value: 0, text: "Fixed-size samples: No" }]), "bit 0: samples have one size";
        default_frame: u8 = "bDefaultFrameIndex", Decimal, "the size to begin with";
        aspect_x: u8 = "bAspectRatioX", Decimal, "aspect ratio of interlaced pictures, horizontally";
        aspect_y: u8 = "bAspectRatioY", Decimal, "and vertically";
        interlace: u8 = "bmInterlaceFlags", Bits(INTERLACE), "how they are interlaced";
        copy_protect: u8 = "bCopyProtect", Decimal, "1 if copies are restricted";
    }

    /// A size of motion JPEG, read in place (UVC 1.5 MJPEG payload, table 3-2).
    FrameMjpeg "VideoStreaming Interface" ("FRAME_MJPEG") 26 {
        index: u8 = "bFrameIndex", Decimal, "the size's number, from 1";
        capabilities: u8 = "bmCapabilities", Bits(FRAME), "stills, and whether the rate is fixed";
        width: u16 = "wWidth", Decimal, "pixels of a line";
        height: u16 = "wHeight", Decimal, "lines";
        min_bit_rate: u32 = "dwMinBitRate", Decimal, "lowest rate, in bit/s";
        max_bit_rate: u32 = "dwMaxBitRate", Decimal, "highest rate, in bit/s";
        max_frame_buffer: u32 = "dwMaxVideoFrameBufferSize", Decimal, "bytes of one picture";
        default_interval: u32 = "dwDefaultFrameInterval", Decimal, "the interval to begin with, in 100 ns";
        interval_type: u8 = "bFrameIntervalType", Decimal, "0 for a range, else how many intervals follow";
        intervals: values(n(4), rest_but(0)) = "dwFrameInterval", Decimal, "intervals in 100 ns, or lowest, highest and step";
    }

    /// MPEG-2 transport stream, read in place (UVC 1.5 MPEG2-TS payload, table 3-1).
    FormatMpeg2Ts "VideoStreaming Interface" ("FORMAT_MPEG2TS") 7 {
        index: u8 = "bFormatIndex", Decimal, "the format's number, from 1";
        data_offset: u8 = "bDataOffset", Decimal, "bytes before each packet";
        packet_length: u8 = "bPacketLength", Decimal, "bytes of a packet";
        stride_length: u8 = "bStrideLength", Decimal, "bytes from packet to packet";
        guid: values(n(1), rest_but(0)) = "guidStrideFormat", Raw, "what lies between, from 1.1 on";
    }

    /// Digital video, read in place (UVC 1.5 DV payload, table 3-1).
    FormatDv "VideoStreaming Interface" ("FORMAT_DV") 9 {
        index: u8 = "bFormatIndex", Decimal, "the format's number, from 1";
        max_frame_buffer: u32 = "dwMaxVideoFrameBufferSize", Decimal, "bytes of one picture";
        format_type: u8 = "bFormatType", Hex, "SD, HD or SDL, 50 or 60 Hz";
    }

    /// Colours, read in place (UVC 1.5, table 3-19).
    ColorFormat "VideoStreaming Interface" ("COLORFORMAT") 6 {
        primaries: u8 = "bColorPrimaries", Named(names::color_primaries), "what the primaries are";
        transfer: u8 = "bTransferCharacteristics", Named(names::color_transfer), "how light becomes numbers";
        matrix: u8 = "bMatrixCoefficients", Named(names::color_matrix), "how colours become luma and chroma";
    }

    /// Frames of any codec, read in place (UVC 1.5 frame-based payload, table 3-1).
    FormatFrameBased "VideoStreaming Interface" ("FORMAT_FRAME_BASED") 28 {
        index: u8 = "bFormatIndex", Decimal, "the format's number, from 1";
        frame_count: u8 = "bNumFrameDescriptors", Decimal, "sizes that follow";
        guid: bytes(16) = "guidFormat", Guid, "the codec";
        bits_per_pixel: u8 = "bBitsPerPixel", Decimal, "bits of one pixel";
        default_frame: u8 = "bDefaultFrameIndex", Decimal, "the size to begin with";
        aspect_x: u8 = "bAspectRatioX", Decimal, "aspect ratio of interlaced pictures, horizontally";
        aspect_y: u8 = "bAspectRatioY", Decimal, "and vertically";
        interlace: u8 = "bmInterlaceFlags", Bits(INTERLACE), "how they are interlaced";
        copy_protect: u8 = "bCopyProtect", Decimal, "1 if copies are restricted";
        variable_size: u8 = "bVariableSize", Decimal, "1 if frames differ in size";
    }

    /// A size of frames of any codec, read in place (UVC 1.5 frame-based payload, table 3-2).
    FrameFrameBased "VideoStreaming Interface" ("FRAME_FRAME_BASED") 26 {
        index: u8 = "bFrameIndex", Decimal, "the size's number, from 1";
        capabilities: u8 = "bmCapabilities", Bits(FRAME), "stills, and whether the rate is fixed";
        width: u16 = "wWidth", Decimal, "pixels of a line";
        height: u16 = "wHeight", Decimal, "lines";
        min_bit_rate: u32 = "dwMinBitRate", Decimal, "lowest rate, in bit/s";
        max_bit_rate: u32 = "dwMaxBitRate", Decimal, "highest rate, in bit/s";
        default_interval: u32 = "dwDefaultFrameInterval", Decimal, "the interval to begin with, in 100 ns";
        interval_type: u8 = "bFrameIntervalType", Decimal, "0 for a range, else how many intervals follow";
        bytes_per_line: u32 = "dwBytesPerLine", Decimal, "bytes of one line";
        intervals: values(n(4), rest_but(0)) = "dwFrameInterval", Decimal, "intervals in 100 ns, or lowest, highest and step";
    }

    /// A stream of any format, read in place (UVC 1.5 stream-based payload, table 3-1).
    FormatStream "VideoStreaming Interface" ("FORMAT_STREAM_BASED") 24 {
        index: u8 = "bFormatIndex", Decimal, "the format's number, from 1";
        guid: bytes(16) = "guidFormat", Guid, "the format";
        packet_length: u32 = "dwPacketLength", Decimal, "bytes of a packet";
    }

    /// H.264, read in place (UVC 1.5 H.264 payload, table 3-1).
    FormatH264 "VideoStreaming Interface" ("FORMAT_H264") 52 {
        index: u8 = "bFormatIndex", Decimal, "the format's number, from 1";
        frame_count: u8 = "bNumFrameDescriptors", Decimal, "sizes that follow";
        default_frame: u8 = "bDefaultFrameIndex", Decimal, "the size to begin with";
        max_codec_config_delay: u8 = "bMaxCodecConfigDelay", Decimal, "frames until a change shows";
        slice_modes: u8 = "bmSupportedSliceModes", Hex, "slices it can make";
        sync_frame_types: u8 = "bmSupportedSyncFrameTypes", Hex, "frames to start at";
        resolution_scaling: u8 = "bResolutionScaling", Decimal, "how sizes change";
        detail: values(n(1), rest_but(0)) = "bmDetail", Raw, "rate control and macroblock rates";
    }

    /// A size of H.264, read in place (UVC 1.5 H.264 payload, table 3-2).
    FrameH264 "VideoStreaming Interface" ("FRAME_H264") 44 {
        index: u8 = "bFrameIndex", Decimal, "the size's number, from 1";
        width: u16 = "wWidth", Decimal, "pixels of a line";
        height: u16 = "wHeight", Decimal, "lines";
        sar_width: u16 = "wSARwidth", Decimal, "sample aspect ratio, horizontally";
        sar_height: u16 = "wSARheight", Decimal, "and vertically";
        profile: u16 = "wProfile", Hex, "profile and constraints";
        level: u8 = "bLevelIDC", Decimal, "level times ten";
        constrained_toolset: u16 = "wConstrainedToolset", Hex, "tools it does without";
        usages: u32 = "bmSupportedUsages", Hex, "kinds of streams";
        capabilities: u16 = "bmCapabilities", Hex, "CABAC, constant rates and others";
        svc_capabilities: u32 = "bmSVCCapabilities", Hex, "layers of scalable coding";
        mvc_capabilities: u32 = "bmMVCCapabilities", Hex, "views of multi-view coding";
        min_bit_rate: u32 = "dwMinBitRate", Decimal, "lowest rate, in bit/s";
        max_bit_rate: u32 = "dwMaxBitRate", Decimal, "highest rate, in bit/s";
        default_interval: u32 = "dwDefaultFrameInterval", Decimal, "the interval to begin with, in 100 ns";
        interval_count: u8 = "bNumFrameIntervals", Decimal, "intervals that follow";
        intervals: values(n(4), by("bNumFrameIntervals")) = "dwFrameInterval", Decimal, "intervals in 100 ns";
    }
}

use crate::layout::Show;

/// UVC 1.5, table 3-6, `bmControls`.
const CAMERA: &[Bit] = &[
    bit(0, "Scanning Mode"),
    bit(1, "Auto-Exposure Mode"),
    bit(2, "Auto-Exposure Priority"),
    bit(3, "Exposure Time (Absolute)"),
    bit(4, "Exposure Time (Relative)"),
    bit(5, "Focus (Absolute)"),
    bit(6, "Focus (Relative)"),
    bit(7, "Iris (Absolute)"),
    bit(8, "Iris (Relative)"),
    bit(9, "Zoom (Absolute)"),
    bit(10, "Zoom (Relative)"),
    bit(11, "PanTilt (Absolute)"),
    bit(12, "PanTilt (Relative)"),
    bit(13, "Roll (Absolute)"),
    bit(14, "Roll (Relative)"),
    bit(17, "Focus, Auto"),
    bit(18, "Privacy"),
    bit(19, "Focus, Simple"),
    bit(20, "Window"),
    bit(21, "Region of Interest"),
];

/// UVC 1.5, table 3-8, `bmControls`.
const PROCESSING: &[Bit] = &[
    bit(0, "Brightness"),
    bit(1, "Contrast"),
    bit(2, "Hue"),
    bit(3, "Saturation"),
    bit(4, "Sharpness"),
    bit(5, "Gamma"),
    bit(6, "White Balance Temperature"),
    bit(7, "White Balance Component"),
    bit(8, "Backlight Compensation"),
    bit(9, "Gain"),
    bit(10, "Power Line Frequency"),
    bit(11, "Hue, Auto"),
    bit(12, "White Balance Temperature, Auto"),
    bit(13, "White Balance Component, Auto"),
    bit(14, "Digital Multiplier"),
    bit(15, "Digital Multiplier Limit"),
    bit(16, "Analog Video Standard"),
    bit(17, "Analog Video Lock Status"),
    bit(18, "Contrast, Auto"),
];

/// UVC 1.5 uncompressed and MJPEG payload, table 3-1, `bmInterlaceFlags`: of bit 1, 0 is two fields
/// in both. (`lsusb` reads it the other way round for MJPEG.)
const INTERLACE: &[Bit] = &[
    bit(0, "Interlaced stream or variable: Yes"),
    Bit {
        mask: 1,
        value: 0,
        text: "Interlaced stream or variable: No",
    },
    bit(1, "Fields per frame: 1 fields"),
    Bit {
        mask: 2,
        value: 0,
        text: "Fields per frame: 2 fields",
    },
    bit(2, "Field 1 first: Yes"),
    Bit {
        mask: 4,
        value: 0,
        text: "Field 1 first: No",
    },
    Bit {
        mask: 0x30,
        value: 0,
        text: "Field pattern: Field 1 only",
    },
    Bit {
        mask: 0x30,
        value: 0x10,
        text: "Field pattern: Field 2 only",
    },
    Bit {
        mask: 0x30,
        value: 0x20,
        text: "Field pattern: Regular pattern of fields 1 and 2",
    },
    Bit {
        mask: 0x30,
        value: 0x30,
        text: "Field pattern: Random pattern of fields 1 and 2",
    },
];

/// UVC 1.5 uncompressed payload, table 3-2, `bmCapabilities`.
const FRAME: &[Bit] = &[
    bit(0, "Still image supported"),
    Bit {
        mask: 1,
        value: 0,
        text: "Still image unsupported",
    },
    bit(1, "Fixed frame-rate"),
];

/// Whether a frame descriptor has fewer intervals than it states: a count, or 0 for a range, which
/// takes three (UVC 1.5 uncompressed, MJPEG and frame-based payload, tables 3-2 to 3-4; H.264
/// payload, table 3-2, which has no range).
pub(crate) const fn lacks_intervals(frame: &[u8]) -> bool {
    let (at, before, range) = match frame {
        [_, _, 0x05 | 0x07, ..] => (25, 26usize, 3),
        [_, _, 0x11, ..] => (21, 26, 3),
        [_, _, 0x14, ..] => (43, 44, 0),
        _ => return false,
    };
    let Some((_, [count, ..])) = frame.split_at_checked(at) else {
        return false;
    };
    let count = if *count == 0 { range } else { *count as usize };
    frame.len() < before.saturating_add(count.saturating_mul(4))
}

family! {
    /// Class descriptors of a control interface (UVC 1.5, A.5).
    ///
    /// ```
    /// use usb_descriptors::class::video::Control;
    /// let bytes = [13, 0x24, 1, 0x10, 1, 13, 0, 0, 0, 0, 0, 1, 1];
    /// let Some(Control::Header(header)) = Control::parse(&bytes) else { panic!() };
    /// assert_eq!(header.interfaces().collect::<Vec<_>>(), [1]);
    /// ```
    Control {
        [_, _, 0x01, ..] => Header(Header),
        [_, _, 0x02, _, 0x01, 0x02, ..] => CameraTerminal(CameraTerminal),
        [_, _, 0x02, ..] => InputTerminal(InputTerminal),
        [_, _, 0x03, ..] => OutputTerminal(OutputTerminal),
        [_, _, 0x04, ..] => SelectorUnit(SelectorUnit),
        [_, _, 0x05, ..] => ProcessingUnit(ProcessingUnit),
        [_, _, 0x06, ..] => ExtensionUnit(ExtensionUnit),
        [_, _, 0x07, ..] => EncodingUnit(EncodingUnit),
    }
}

family! {
    /// Class descriptors of a control interface's endpoint (UVC 1.5, A.7).
    Endpoint {
        [_, _, 0x03, ..] => Interrupt(ControlEndpoint),
    }
}

family! {
    /// Class descriptors of a streaming interface (UVC 1.5, A.6).
    Streaming {
        [_, _, 0x01, ..] => InputHeader(InputHeader),
        [_, _, 0x02, ..] => OutputHeader(OutputHeader),
        [_, _, 0x03, ..] => StillFrame(StillFrame),
        [_, _, 0x04, ..] => FormatUncompressed(FormatUncompressed),
        [_, _, 0x05, ..] => FrameUncompressed(FrameUncompressed),
        [_, _, 0x06, ..] => FormatMjpeg(FormatMjpeg),
        [_, _, 0x07, ..] => FrameMjpeg(FrameMjpeg),
        [_, _, 0x0a, ..] => FormatMpeg2Ts(FormatMpeg2Ts),
        [_, _, 0x0c, ..] => FormatDv(FormatDv),
        [_, _, 0x0d, ..] => ColorFormat(ColorFormat),
        [_, _, 0x10, ..] => FormatFrameBased(FormatFrameBased),
        [_, _, 0x11, ..] => FrameFrameBased(FrameFrameBased),
        [_, _, 0x12, ..] => FormatStream(FormatStream),
        [_, _, 0x13, ..] => FormatH264(FormatH264),
        [_, _, 0x14, ..] => FrameH264(FrameH264),
    }
}
