//! Clients of object stores, with credentials from the environment. Without any, a store would keep asking the metadata
//! address of the cloud that this machine may be in. Here, that address is asked once, with a short timeout.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use tokio::runtime::Runtime;

use crate::error::Explained;

/// How long to wait for the cloud to say whether this machine has a role.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why there is no client.
#[derive(Debug)]
pub enum Refusal {
    /// Neither the variables nor the cloud have credentials.
    Missing(Explained),
    /// A variable has a wrong value.
    Store(object_store::Error),
}

/// A kind of store.
struct Kind {
    scheme: &'static str,
    /// Lists of variables, in lower case. Any one list gives credentials if all of its variables are set. Messages name
    /// the first.
    ways: &'static [&'static [&'static str]],
    help: &'static str,
}

const S3: Kind = Kind {
    scheme: "s3://",
    ways: &[
        &["aws_access_key_id", "aws_secret_access_key"],
        &["aws_web_identity_token_file", "aws_role_arn"],
        &["aws_container_credentials_relative_uri"],
        &["aws_container_credentials_full_uri", "aws_container_authorization_token_file"],
        &["aws_skip_signature"],
    ],
    help: "set them, from a profile in ~/.aws with eval \"$(aws configure export-credentials --format env)\"; \
           AWS_SKIP_SIGNATURE=true reads a public bucket, and AWS_ENDPOINT names a store other than Amazon's",
};

const GS: Kind = Kind {
    scheme: "gs://",
    ways: &[
        &["google_application_credentials"],
        &["google_service_account"],
        &["google_service_account_key"],
        &["google_bearer_token"],
        &["google_skip_signature"],
    ],
    help: "set it to the JSON file of a service account, or run gcloud auth application-default login; \
           GOOGLE_SKIP_SIGNATURE=true reads a public bucket",
};

const AZ: Kind = Kind {
    scheme: "az://",
    ways: &[
        &["azure_storage_account_name", "azure_storage_account_key"],
        &["azure_storage_account_name", "azure_storage_sas_key"],
        &["azure_storage_account_name", "azure_storage_token"],
        &[
            "azure_storage_account_name",
            "azure_storage_client_id",
            "azure_storage_client_secret",
            "azure_storage_tenant_id",
        ],
        &[
            "azure_storage_account_name",
            "azure_storage_client_id",
            "azure_storage_tenant_id",
            "azure_federated_token_file",
        ],
        &["azure_storage_account_name", "azure_use_azure_cli"],
        &["azure_storage_account_name", "azure_skip_signature"],
        &["azure_storage_use_emulator"],
    ],
    help: "set them; AZURE_USE_AZURE_CLI=true takes the login of az, and AZURE_SKIP_SIGNATURE=true reads a public container",
};

impl Kind {
    /// The error for credentials that are missing; `None` if the variables that are `given` are enough.
    fn missing(&self, given: &BTreeSet<&str>) -> Option<Explained> {
        if self.ways.iter().any(|way| way.iter().all(|name| given.contains(name))) {
            return None;
        }
        let missing = self.ways.first().copied().unwrap_or_default().iter().filter(|name| !given.contains(*name));
        let missing: Vec<String> = missing.map(|name| name.to_ascii_uppercase()).collect();
        let are = if missing.len() == 1 { "is" } else { "are" };
        Some(Explained {
            message: format!("there are no credentials for {}: {} {are} not set", self.scheme, missing.join(" and ")),
            help: self.help,
        })
    }
}

/// Configures a builder with the variables that it knows, and builds the client. If they give no credentials, asks the
/// cloud.
macro_rules! client {
    ($kind:expr, $builder:ident, $key:ty, $root:expr, $variables:expr, $runtime:expr) => {{
        let keys = |(name, value): &(String, String)| {
            let key: $key = name.to_ascii_lowercase().parse().ok()?;
            Some((key, value.clone())).filter(|_| !value.is_empty())
        };
        let keys: Vec<($key, String)> = $variables.iter().filter_map(keys).collect();
        let missing = $kind.missing(&keys.iter().map(|(key, _)| key.as_ref()).collect());
        let builder = $builder::new().with_url($root);
        let built = keys.into_iter().fold(builder, |builder, (key, value)| builder.with_config(key, value)).build();
        match (built, missing) {
            (Ok(store), None) => Ok(Arc::new(store) as Arc<dyn ObjectStore>),
            (Err(error), None) => Err(Refusal::Store(error)),
            (built, Some(missing)) => {
                let answer = async {
                    let store = built.ok()?;
                    let answer = tokio::time::timeout(PATIENCE, store.credentials().get_credential()).await;
                    answer.ok()?.ok().map(|_| store)
                };
                match $runtime.block_on(answer) {
                    Some(store) => Ok(Arc::new(store) as Arc<dyn ObjectStore>),
                    None => Err(Refusal::Missing(missing)),
                }
            }
        }
    }};
}

/// The client of the store at `root`, `scheme://bucket`.
///
/// # Errors
/// [`Refusal`] when the variables name no credentials and the cloud has none for this machine, or one has a wrong value.
pub fn client(root: &str, variables: &[(String, String)], runtime: &Runtime) -> Result<Arc<dyn ObjectStore>, Refusal> {
    // Creating a client may start tasks.
    let _inside = runtime.enter();
    match root.split_once("://").map(|(scheme, _)| scheme) {
        Some("gs") => client!(GS, GoogleCloudStorageBuilder, GoogleConfigKey, root, variables, runtime),
        Some("az") => client!(AZ, MicrosoftAzureBuilder, AzureConfigKey, root, variables, runtime),
        _ => client!(S3, AmazonS3Builder, AmazonS3ConfigKey, root, variables, runtime),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client_of(root: &str, variables: &[(&str, &str)]) -> Result<(), Explained> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let variables: Vec<_> = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        client(root, &variables, &runtime).map(drop).map_err(|refusal| match refusal {
            Refusal::Missing(explained) => explained,
            Refusal::Store(error) => panic!("{error}"),
        })
    }

    #[test]
    fn credentials_that_are_missing_are_named() {
        // A server that never answers behaves like the metadata address outside a cloud.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let silent = format!("http://{}", silent.local_addr().unwrap());
        let metadata = ("AWS_METADATA_ENDPOINT", silent.as_str());
        for (given, missing) in [
            (vec![], "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are"),
            (vec![("AWS_ACCESS_KEY_ID", "x")], "AWS_SECRET_ACCESS_KEY is"),
            (vec![("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", "x")], "AWS_ACCESS_KEY_ID is"),
        ] {
            let variables = [given, vec![metadata]].concat();
            let Explained { message, help } = client_of("s3://bucket", &variables).unwrap_err();
            assert_eq!(message, format!("there are no credentials for s3://: {missing} not set"));
            assert!(help.contains("AWS_SKIP_SIGNATURE=true"), "{help}");
        }
        let Explained { message, .. } = client_of("az://container", &[]).unwrap_err();
        assert!(message.ends_with("AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY are not set"), "{message}");
        assert!(GS.missing(&BTreeSet::new()).unwrap().message.ends_with(": GOOGLE_APPLICATION_CREDENTIALS is not set"));
    }

    #[test]
    fn any_way_to_give_credentials_will_do() {
        for (root, variables) in [
            ("s3://b", &[("AWS_ACCESS_KEY_ID", "x"), ("aws_secret_access_key", "x")][..]),
            ("s3://b", &[("AWS_SKIP_SIGNATURE", "true")]),
            ("s3://b", &[("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x")]),
            ("gs://b", &[("GOOGLE_SKIP_SIGNATURE", "true")]),
            ("az://b", &[("AZURE_STORAGE_ACCOUNT_NAME", "x"), ("AZURE_STORAGE_SAS_KEY", "sv=x")]),
        ] {
            assert!(client_of(root, variables).is_ok(), "{variables:?}");
        }
    }
}
