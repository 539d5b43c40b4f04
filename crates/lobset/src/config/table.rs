//! The macros that generate types from the settings table.

/// The settings table. Each row generates a field of `Config` with its documentation and default, its check, a row of
/// `SETTINGS`, and a field of each struct that contains its scope:
///
/// ```text
/// /// Meaning.
/// scope key: Type = default, "PLACEHOLDER", in least..=most, check function, before "function";
/// ```
///
/// Everything after the placeholder is optional: a range, a check, and a function that returns the value to assume when
/// reading files that were written before the setting existed.
macro_rules! settings {
    ($(
        $(#[doc = $doc:literal])+
        $scope:ident $key:ident: $type:ty = $default:expr, $placeholder:literal
            $(, in $least:literal..=$most:expr)? $(, check $check:path)? $(, before $before:literal)?;
    )+) => {
        /// The settings of a run. Each field has the name of its key in `lobset.toml`.
        ///
        /// Its JSON omits the settings of [`Scope::Run`], so that no file that a run writes depends on them.
        #[derive(Debug, Clone, PartialEq, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Config {$(
            $(#[doc = $doc])+
            #[doc = ""]
            $(#[doc = concat!("Range: ", stringify!($least), " to `", stringify!($most), "`. ")])?
            #[doc = concat!("Scope: ", stringify!($scope), ". By default `", stringify!($default), "`.")]
            $(#[serde(default = $before)])?
            pub $key: $type,
        )+
            /// Keys that the user has set to their plain defaults without naming a currency. The preset of the currency
            /// found in the data does not change them, nor does it change any value other than a plain default.
            pub held: BTreeSet<String>,
        }

        impl Default for Config {
            fn default() -> Self {
                Self { $($key: $default,)+ held: BTreeSet::new() }
            }
        }

        impl Serialize for Config {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let fields = SETTINGS.iter().filter(|setting| setting.scope != Scope::Run).count();
                let held = usize::from(!self.held.is_empty());
                let mut map = serializer.serialize_struct("Config", fields + held)?;
                $(if scope!($scope) != Scope::Run {
                    map.serialize_field(stringify!($key), &self.$key)?;
                })+
                if held > 0 {
                    map.serialize_field("held", &self.held)?;
                }
                map.end()
            }
        }

        impl Config {
            /// Returns the settings with those of [`Scope::Run`] at their defaults, as the files of a run record them.
            #[must_use]
            pub fn without_run_settings(&self) -> Self {
                let Self { $($key,)+ held: _ } = Self::default();
                Self {$(
                    $key: if scope!($scope) == Scope::Run { $key } else { Clone::clone(&self.$key) },
                )+ held: self.held.clone() }
            }

            /// The problems of individual settings, each prefixed with its key.
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
                copy: |to, from| to.$key = Clone::clone(&from.$key),
                json: |config| serde_json::to_value(&config.$key).unwrap_or_default(),
            },
        )+];

        by_scope! { {} {} $($scope $key: $type [$($before)?],)+ }
    };
}

/// Converts a scope keyword of the table to a `Scope`.
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

/// Sorts the settings into those that affect scans and those that define labels. Code for scans and labels takes only
/// these structs, so it cannot read other settings.
macro_rules! by_scope {
    ({$($scan:tt)*} {$($label:tt)*} rows $key:ident: $type:ty [$($before:literal)?], $($rest:tt)*) => {
        by_scope! { {$($scan)* $key: $type [$($before)?],} {$($label)* $key: $type [$($before)?],} $($rest)* }
    };
    ({$($scan:tt)*} {$($label:tt)*} input $key:ident: $type:ty [$($before:literal)?], $($rest:tt)*) => {
        by_scope! { {$($scan)* $key: $type [$($before)?],} {$($label)*} $($rest)* }
    };
    ({$($scan:tt)*} {$($label:tt)*} label $key:ident: $type:ty [$($before:literal)?], $($rest:tt)*) => {
        by_scope! { {$($scan)*} {$($label)* $key: $type [$($before)?],} $($rest)* }
    };
    // These affect neither scans nor labels.
    ($scan:tt $label:tt selection $key:ident: $type:ty [$($before:literal)?], $($rest:tt)*) => { by_scope! { $scan $label $($rest)* } };
    ($scan:tt $label:tt tensor $key:ident: $type:ty [$($before:literal)?], $($rest:tt)*) => { by_scope! { $scan $label $($rest)* } };
    ($scan:tt $label:tt output $key:ident: $type:ty [$($before:literal)?], $($rest:tt)*) => { by_scope! { $scan $label $($rest)* } };
    ($scan:tt $label:tt run $key:ident: $type:ty [$($before:literal)?], $($rest:tt)*) => { by_scope! { $scan $label $($rest)* } };
    ({$($scan:tt)*} {$($label:tt)*}) => {
        scoped! {
            /// The settings that determine the result of a scan. A scan of an earlier run is valid only if they are the
            /// same.
            ///
            /// Settings that scans must not depend on are not part of it:
            ///
            /// ```compile_fail,E0609
            /// fn depends(settings: &lobset::config::ScanSettings) -> u16 {
            ///     settings.nbins
            /// }
            /// ```
            ScanSettings { $($scan)* }
        }
        scoped! {
            /// The settings that define the label. Thresholds apply only if they are the same.
            LabelSettings { $($label)* }
        }
    };
}

/// Defines a struct with some of the settings.
macro_rules! scoped {
    ($(#[$doc:meta])+ $name:ident { $($key:ident: $type:ty [$($before:literal)?],)+ }) => {
        $(#[$doc])+
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {$(
            #[doc = concat!("As in [`Config::", stringify!($key), "`].")]
            $(#[serde(default = $before)])?
            pub $key: $type,
        )+}

        impl $name {
            /// Extracts them from the settings of a run.
            pub fn new(config: &Config) -> Self {
                Self { $($key: Clone::clone(&config.$key),)+ }
            }

            /// The default settings of a run, overridden by these.
            pub fn to_config(&self) -> Config {
                Config { $($key: Clone::clone(&self.$key),)+ ..Config::default() }
            }

            /// Their rows in the settings table.
            pub fn settings() -> impl Iterator<Item = &'static Setting> {
                let keys = [$(stringify!($key)),+];
                SETTINGS.iter().filter(move |setting| keys.contains(&setting.key))
            }
        }
    };
}

pub(super) use {by_scope, optional, scope, scoped, settings};
