//! The macros that turn the table of settings into types.

/// The table. From each line come a field of `Config` with its documentation and default, its check, a line of `SETTINGS`,
/// and a field of each struct that holds its scope:
///
/// ```text
/// /// Meaning.
/// scope key: Type = default, "PLACEHOLDER", in least..=most, check function;
/// ```
///
/// A range, a check or neither may follow the placeholder.
macro_rules! settings {
    ($(
        $(#[doc = $doc:literal])+
        $scope:ident $key:ident: $type:ty = $default:expr, $placeholder:literal
            $(, in $least:literal..=$most:expr)? $(, check $check:path)?;
    )+) => {
        /// The settings of a run. Each field has the name of its key in `lobset.toml`.
        ///
        /// As JSON it leaves out the settings of [`Scope::Run`], so that no file that a run writes depends on them.
        #[derive(Debug, Clone, PartialEq, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Config {$(
            $(#[doc = $doc])+
            #[doc = ""]
            $(#[doc = concat!("Range: ", stringify!($least), " to `", stringify!($most), "`. ")])?
            #[doc = concat!("Scope: ", stringify!($scope), ". By default `", stringify!($default), "`.")]
            pub $key: $type,
        )+}

        impl Default for Config {
            fn default() -> Self {
                Self { $($key: $default,)+ }
            }
        }

        impl Serialize for Config {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let fields = SETTINGS.iter().filter(|setting| setting.scope != Scope::Run).count();
                let mut map = serializer.serialize_struct("Config", fields)?;
                $(if scope!($scope) != Scope::Run {
                    map.serialize_field(stringify!($key), &self.$key)?;
                })+
                map.end()
            }
        }

        impl Config {
            /// The same, with the settings of [`Scope::Run`] at their defaults: what the files of a run say of it.
            #[must_use]
            pub fn without_run_settings(&self) -> Self {
                let Self { $($key,)+ } = Self::default();
                Self {$(
                    $key: if scope!($scope) == Scope::Run { $key } else { Clone::clone(&self.$key) },
                )+}
            }

            /// The problems of single settings, each by its key.
            fn problems_of_each(&self) -> Vec<String> {
                let mut problems = Vec::new();
                let mut require = |key: &str, outcome: Result<(), String>| {
                    problems.extend(outcome.err().map(|message| format!("{key}: {message}")));
                };
                $(
                    $(require(stringify!($key), within(self.$key, $least, $most));)?
                    $(require(stringify!($key), $check(&self.$key));)?
                )+
                problems
            }
        }

        /// Every setting, in the order of [`Config`]'s fields.
        pub const SETTINGS: &[Setting] = &[$(
            Setting {
                key: stringify!($key),
                scope: scope!($scope),
                kind: <$type as SettingValue>::KIND,
                optional: <$type as SettingValue>::OPTIONAL,
                placeholder: $placeholder,
                doc: concat!($($doc),+).trim_ascii(),
                range: optional!($($least..=$most)?),
                set: |config, text| {
                    config.$key = SettingValue::parse(text)?;
                    Ok(())
                },
                text: |config| config.$key.text(),
                toml: |config| config.$key.toml(),
                json: |config| serde_json::to_value(&config.$key).unwrap_or_default(),
            },
        )+];

        by_scope! { {} {} $($scope $key: $type,)+ }
    };
}

/// The scope that a word of the table names.
macro_rules! scope {
    (rows) => {
        Scope::Rows
    };
    (input) => {
        Scope::Input
    };
    (label) => {
        Scope::Label
    };
    (selection) => {
        Scope::Selection
    };
    (tensor) => {
        Scope::Tensor
    };
    (output) => {
        Scope::Output
    };
    (run) => {
        Scope::Run
    };
}

macro_rules! optional {
    () => {
        None
    };
    ($value:expr) => {
        Some($value)
    };
}

/// Sorts the settings into those that decide what a scan finds and those that define a label. Only what stands in one of
/// these structs can be read where scans or labels are at stake.
macro_rules! by_scope {
    ({$($scan:tt)*} {$($label:tt)*} rows $key:ident: $type:ty, $($rest:tt)*) => {
        by_scope! { {$($scan)* $key: $type,} {$($label)* $key: $type,} $($rest)* }
    };
    ({$($scan:tt)*} {$($label:tt)*} input $key:ident: $type:ty, $($rest:tt)*) => {
        by_scope! { {$($scan)* $key: $type,} {$($label)*} $($rest)* }
    };
    ({$($scan:tt)*} {$($label:tt)*} label $key:ident: $type:ty, $($rest:tt)*) => {
        by_scope! { {$($scan)*} {$($label)* $key: $type,} $($rest)* }
    };
    // Neither what is scanned nor what a label is.
    ($scan:tt $label:tt selection $key:ident: $type:ty, $($rest:tt)*) => { by_scope! { $scan $label $($rest)* } };
    ($scan:tt $label:tt tensor $key:ident: $type:ty, $($rest:tt)*) => { by_scope! { $scan $label $($rest)* } };
    ($scan:tt $label:tt output $key:ident: $type:ty, $($rest:tt)*) => { by_scope! { $scan $label $($rest)* } };
    ($scan:tt $label:tt run $key:ident: $type:ty, $($rest:tt)*) => { by_scope! { $scan $label $($rest)* } };
    ({$($scan:tt)*} {$($label:tt)*}) => {
        scoped! {
            /// The settings that decide what a scan finds. A scan of an earlier run holds only where these are the same.
            ///
            /// What scans may not depend on cannot be read from it:
            ///
            /// ```compile_fail,E0609
            /// fn depends(settings: &lobset::config::ScanSettings) -> u16 {
            ///     settings.nbins
            /// }
            /// ```
            ScanSettings { $($scan)* }
        }
        scoped! {
            /// The settings that define the label. Thresholds apply only where these are the same.
            LabelSettings { $($label)* }
        }
    };
}

/// Some of the settings, as a struct of their own.
macro_rules! scoped {
    ($(#[$doc:meta])+ $name:ident { $($key:ident: $type:ty,)+ }) => {
        $(#[$doc])+
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {$(
            #[doc = concat!("As in [`Config::", stringify!($key), "`].")]
            pub $key: $type,
        )+}

        impl $name {
            /// Those of a run's settings.
            pub fn new(config: &Config) -> Self {
                Self { $($key: Clone::clone(&config.$key),)+ }
            }

            /// The default settings of a run, with these in their place.
            pub fn to_config(&self) -> Config {
                Config { $($key: Clone::clone(&self.$key),)+ ..Config::default() }
            }

            /// Their lines of the table.
            pub fn settings() -> impl Iterator<Item = &'static Setting> {
                let keys = [$(stringify!($key)),+];
                SETTINGS.iter().filter(move |setting| keys.contains(&setting.key))
            }
        }
    };
}

pub(super) use {by_scope, optional, scope, scoped, settings};
