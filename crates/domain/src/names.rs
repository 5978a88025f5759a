//! Closed lists of names.

/// A closed list of names that protocols spell in one way.
macro_rules! names {
    ($(#[$doc:meta])* $name:ident, $expected:literal { $($(#[$item_doc:meta])* $item:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$item_doc])* #[serde(rename = $text)] $item,)*
        }

        impl $name {
            /// All of them, in the order of AWS's service model.
            pub const ALL: &'static [Self] = &[$(Self::$item,)*];

            /// The name as protocols write it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$item => $text,)* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::ids::InvalidId;

            fn from_str(text: &str) -> Result<Self, $crate::ids::InvalidId> {
                Self::ALL.iter().copied().find(|item| item.as_str() == text).ok_or($crate::ids::InvalidId { expected: $expected })
            }
        }
    };
}

pub(crate) use names;
