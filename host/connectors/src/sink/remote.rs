//! An object that is there when all its parts are.

use std::sync::Arc;

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::error::{Error, Verb};

enum Order {
    Part(Vec<u8>),
    Complete,
}

/// Uploads an object in the runtime, one part while the next one is made. Dropped, the upload is given up.
pub(crate) struct RemoteTarget {
    name: String,
    /// `None`: it has ended.
    orders: Option<mpsc::Sender<Order>>,
    upload: JoinHandle<Result<(), object_store::Error>>,
}

impl RemoteTarget {
    pub(crate) fn new(
        name: String,
        store: Arc<dyn ObjectStore>,
        path: Path,
        runtime: &Handle,
    ) -> Self {
        let (orders, received) = mpsc::channel(1);
        Self {
            name,
            orders: Some(orders),
            upload: runtime.spawn(async move { upload(&store, &path, received).await }),
        }
    }

    pub(crate) async fn write(&mut self, bytes: Vec<u8>) -> Result<(), Error> {
        self.order(Order::Part(bytes)).await
    }

    pub(crate) async fn finish(&mut self) -> Result<(), Error> {
        self.order(Order::Complete).await?;
        self.outcome().await
    }

    async fn order(&mut self, order: Order) -> Result<(), Error> {
        let sent = match &self.orders {
            Some(orders) => orders.send(order).await.is_ok(),
            None => false,
        };
        if sent {
            return Ok(());
        }
        self.outcome().await?;
        Err(Error::Write {
            path: self.name.clone(),
            source: "it has failed before".into(),
        })
    }

    async fn outcome(&mut self) -> Result<(), Error> {
        if self.orders.take().is_none() {
            return Ok(());
        }
        match (&mut self.upload).await {
            Ok(outcome) => outcome.map_err(|error| Error::store(&self.name, Verb::Write, error)),
            Err(gone) => Err(Error::Write {
                path: self.name.clone(),
                source: gone.into(),
            }),
        }
    }
}

async fn upload(
    store: &Arc<dyn ObjectStore>,
    path: &Path,
    mut orders: mpsc::Receiver<Order>,
) -> Result<(), object_store::Error> {
    let mut upload = store.put_multipart(path).await?;
    let outcome = loop {
        match orders.recv().await {
            Some(Order::Part(bytes)) => {
                if let Err(error) = upload.put_part(bytes.into()).await {
                    break Err(error);
                }
            }
            Some(Order::Complete) => break upload.complete().await.map(drop),
            None => {
                upload.abort().await?;
                return Ok(());
            }
        }
    };
    if outcome.is_err() {
        // The first error is told, not that of cleaning up.
        let _ = upload.abort().await;
    }
    outcome
}
