//! What the client asks to be shown of all groups, and of one member.

use reqwest::Method;

use super::{Client, ClientError};
use crate::admin::api::{LackingMember, LackingView, OverviewView, TraceView};

impl Client {
    /// All of the gateway at one moment.
    pub(crate) async fn overview(&self) -> Result<OverviewView, ClientError> {
        self.ask(Method::GET, &["overview"], None).await
    }

    /// A member in full, by its number or by whose it is.
    pub(crate) async fn trace(&self, group: &str, who: &str) -> Result<TraceView, ClientError> {
        self.ask(Method::GET, &["groups", group, "members", who], None)
            .await
    }

    /// Everybody who did not acknowledge the newest epoch, of one group or of all.
    pub(crate) async fn lacking(
        &self,
        group: Option<&str>,
    ) -> Result<Vec<LackingMember>, ClientError> {
        let mut all = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let mut url = self.url(&["lacking"])?;
            let wanted = [("group", group), ("after", after.as_deref())];
            for (name, value) in wanted {
                if let Some(value) = value {
                    url.query_pairs_mut().append_pair(name, value);
                }
            }
            let page: LackingView = self.send(self.http.get(url)).await?;
            all.extend(page.members);
            after = page.next;
            if after.is_none() {
                return Ok(all);
            }
        }
    }
}
