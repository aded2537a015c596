//! The macros that make typed views from tables.

/// Typed views with their layouts, from tables:
///
/// ```text
/// /// Documentation.
/// View "title" ("NAME OF THE SUBTYPE") minimum {
///     accessor: kind = "specName", Show, "documentation";
/// }
/// ```
///
/// where `kind` is `u8`, `u16`, `u32`, `bytes(n)`, `values(size, count)` or `group(count, parts)`.
macro_rules! views {
    ($(
        $(#[$meta:meta])*
        $view:ident $title:literal ($($subtype:literal)?) $minimum:literal {
            $( $accessor:ident : $kind:ident $(($($argument:expr),+))? = $spec:literal, $show:expr, $doc:literal; )*
        }
    )*) => {$(
        $(#[$meta])*
        ///
        /// A view in place; fields that the bytes are too short for read as 0.
        #[derive(Clone, Copy)]
        pub struct $view<'a> {
            bytes: &'a [u8],
        }

        impl<'a> $view<'a> {
            /// The fewest bytes of such a descriptor.
            pub const MINIMUM: usize = $minimum;

            pub(crate) const LAYOUT: &'static $crate::layout::Layout = &$crate::layout::Layout::new(
                $title,
                $minimum,
                &[
                    $crate::layout::Part::number("bLength", 1, $crate::layout::Show::Decimal),
                    $crate::layout::Part::number("bDescriptorType", 1, $crate::layout::Show::Decimal),
                    $($crate::layout::Part::number(
                        "bDescriptorSubtype",
                        1,
                        $crate::layout::Show::Subtype($subtype),
                    ),)?
                    $($crate::layout::part!($kind $(($($argument),+))?, $spec, $show),)*
                ],
            );

            /// Views `bytes`, which are one descriptor, as this kind; `None` where they are too
            /// few. Which kind they are is told by where they stand:
            /// [`ClassDescriptor`](crate::ClassDescriptor).
            #[must_use]
            pub const fn parse(bytes: &'a [u8]) -> Option<Self> {
                if bytes.len() < Self::MINIMUM {
                    return None;
                }
                Some(Self { bytes })
            }

            /// All its bytes.
            #[must_use]
            pub const fn bytes(&self) -> &'a [u8] {
                self.bytes
            }

            /// What it is made of.
            #[must_use]
            pub const fn layout(&self) -> &'static $crate::Layout {
                Self::LAYOUT
            }

            /// Its fields, in order of bytes.
            #[must_use]
            pub const fn fields(&self) -> $crate::Fields<'a> {
                Self::LAYOUT.fields(self.bytes)
            }

            $($crate::layout::accessor!($accessor, $kind, $spec, $doc);)*
        }

        impl core::fmt::Debug for $view<'_> {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                let mut shown = f.debug_struct(stringify!($view));
                for field in self.fields() {
                    if !field.is_tail() {
                        shown.field(field.name(), &format_args!("{field}"));
                    }
                }
                shown.finish()
            }
        }
    )*};
}

macro_rules! part {
    (u8, $spec:literal, $show:expr) => {
        $crate::layout::Part::number($spec, 1, $show)
    };
    (u16, $spec:literal, $show:expr) => {
        $crate::layout::Part::number($spec, 2, $show)
    };
    (u32, $spec:literal, $show:expr) => {
        $crate::layout::Part::number($spec, 4, $show)
    };
    (bytes($size:expr), $spec:literal, $show:expr) => {
        $crate::layout::Part::number($spec, $size, $show)
    };
    (values($size:expr, $count:expr), $spec:literal, $show:expr) => {
        $crate::layout::Part::values($spec, $size, $count, $show)
    };
    (group($count:expr, $parts:expr), $spec:literal, $show:expr) => {
        $crate::layout::Part::group($spec, $count, $parts)
    };
}

macro_rules! accessor {
    ($accessor:ident, u8, $spec:literal, $doc:literal) => {
        #[doc = concat!("`", $spec, "`: ", $doc, ".")]
        #[doc(alias = $spec)]
        #[must_use]
        pub fn $accessor(&self) -> u8 {
            let (bytes, _) = Self::LAYOUT.part(self.bytes, const { Self::LAYOUT.index_of($spec) });
            bytes.first().copied().unwrap_or(0)
        }
    };
    ($accessor:ident, u16, $spec:literal, $doc:literal) => {
        #[doc = concat!("`", $spec, "`: ", $doc, ".")]
        #[doc(alias = $spec)]
        #[must_use]
        pub fn $accessor(&self) -> u16 {
            let (bytes, _) = Self::LAYOUT.part(self.bytes, const { Self::LAYOUT.index_of($spec) });
            match *bytes {
                [low, high] => u16::from_le_bytes([low, high]),
                _ => 0,
            }
        }
    };
    ($accessor:ident, u32, $spec:literal, $doc:literal) => {
        #[doc = concat!("`", $spec, "`: ", $doc, ".")]
        #[doc(alias = $spec)]
        #[must_use]
        pub fn $accessor(&self) -> u32 {
            let (bytes, _) = Self::LAYOUT.part(self.bytes, const { Self::LAYOUT.index_of($spec) });
            $crate::layout::little_endian(bytes)
        }
    };
    ($accessor:ident, values, $spec:literal, $doc:literal) => {
        #[doc = concat!("`", $spec, "`: ", $doc, ".")]
        #[doc(alias = $spec)]
        #[must_use]
        pub fn $accessor(&self) -> $crate::Values<'a> {
            $crate::Values::new(
                Self::LAYOUT.part(self.bytes, const { Self::LAYOUT.index_of($spec) }),
            )
        }
    };
    // The bytes of a long field or of a group.
    ($accessor:ident, $kind:ident, $spec:literal, $doc:literal) => {
        #[doc = concat!("`", $spec, "`: ", $doc, ".")]
        #[doc(alias = $spec)]
        #[must_use]
        pub fn $accessor(&self) -> &'a [u8] {
            Self::LAYOUT
                .part(self.bytes, const { Self::LAYOUT.index_of($spec) })
                .0
        }
    };
}

/// An enumeration of views with what tells them apart, from a table of patterns on their bytes.
macro_rules! family {
    (
        $(#[$meta:meta])*
        $family:ident { $($pattern:pat => $variant:ident($view:ident),)* }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug)]
        #[non_exhaustive]
        pub enum $family<'a> {
            $(
                #[doc = concat!("See [`", stringify!($view), "`].")]
                $variant($view<'a>),
            )*
        }

        impl<'a> $family<'a> {
            /// What such a descriptor is made of, however short these bytes are; `None` where the
            /// kind is unknown.
            pub(crate) const fn layout_for(bytes: &[u8]) -> Option<&'static $crate::Layout> {
                match bytes {
                    $($pattern => Some($view::LAYOUT),)*
                    _ => None,
                }
            }

            /// Views `bytes`, one class descriptor of this family; `None` where the kind is
            /// unknown or the bytes are too few for it.
            #[must_use]
            pub fn parse(bytes: &'a [u8]) -> Option<Self> {
                match bytes {
                    $($pattern => $view::parse(bytes).map(Self::$variant),)*
                    _ => None,
                }
            }

            /// All its bytes.
            #[must_use]
            pub const fn bytes(&self) -> &'a [u8] {
                match self {
                    $(Self::$variant(view) => view.bytes(),)*
                }
            }

            /// What it is made of.
            #[must_use]
            pub const fn layout(&self) -> &'static $crate::Layout {
                match self {
                    $(Self::$variant(_) => $view::LAYOUT,)*
                }
            }
        }
    };
}

pub(crate) use {accessor, family, part, views};
