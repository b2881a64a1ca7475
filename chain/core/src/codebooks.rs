//! The codebooks of a chain: the global one that the state holds, and the manager and validator that use it.

use std::sync::Arc;

use tensor_kernels::SparseVec;

use crate::chain::TensorChain;
use crate::codebook::{CodebookConfig, CodebookManager, GlobalCodebook};
use crate::codes::{self, CODEBOOK_KEY};
use crate::config::ChainConfig;
use crate::encoding::Encode;
use crate::error::ChainError;
use crate::store::TensorStore;
use crate::transaction::Transaction;
use crate::validation::{TransitionValidator, ValidationConfig};

/// What a caller brings to a chain with a codebook of its own.
#[derive(Debug, Clone)]
pub(crate) struct CodebookSetup {
    global: GlobalCodebook,
    codebooks: CodebookConfig,
    validation: ValidationConfig,
}

/// The codebooks of a running chain.
#[derive(Debug)]
pub(crate) struct Codebooks {
    manager: Arc<CodebookManager>,
    validator: TransitionValidator,
    /// Whether commits are held against the validator.
    enforced: bool,
}

impl Codebooks {
    /// The caller's codebook, or else the one in the state, or else an empty one.
    pub(crate) fn open(
        setup: Option<&CodebookSetup>,
        stored: Option<GlobalCodebook>,
        dim: u32,
    ) -> Result<Self, ChainError> {
        let enforced = setup.is_some();
        let (global, config, validation) = match (setup.cloned(), stored) {
            (Some(setup), _) => (setup.global, setup.codebooks, setup.validation),
            (None, Some(stored)) => (stored, CodebookConfig::default(), ValidationConfig::default()),
            (None, None) => {
                let empty = GlobalCodebook::empty(dim as usize)?;
                (empty, CodebookConfig::default(), ValidationConfig::default())
            }
        };
        let manager = Arc::new(CodebookManager::new(global, config)?);
        let validator = TransitionValidator::new(Arc::clone(&manager), validation);
        Ok(Self { manager, validator, enforced })
    }

    /// Holds the step from one state to another against the global codebook, where the caller asked for that. Local
    /// ones change with what they are taught and decide nothing.
    pub(crate) fn check(&self, from: &SparseVec, to: &SparseVec) -> Result<(), ChainError> {
        if !self.enforced {
            return Ok(());
        }
        let verdict = self.validator.validate_globally(&from.to_dense(), &to.to_dense())?;
        match verdict.rejection_reason {
            Some(reason) => Err(ChainError::InvalidTransition { reason }),
            None => Ok(()),
        }
    }
}

impl TensorChain {
    /// A chain whose commits are held against a codebook: where a workspace knows its embedding before and after,
    /// the step must satisfy `validation_config` by the global codebook alone, whatever local ones have learned.
    #[must_use]
    pub fn with_codebook(
        store: TensorStore,
        config: ChainConfig,
        global_codebook: GlobalCodebook,
        codebook_config: CodebookConfig,
        validation_config: ValidationConfig,
    ) -> Self {
        let setup = CodebookSetup {
            global: global_codebook,
            codebooks: codebook_config,
            validation: validation_config,
        };
        Self::with_setup(store, config, Some(setup))
    }

    /// Opens the chain in a store, or makes one, with the global codebook that was saved in it, if any.
    ///
    /// # Errors
    /// As [`initialize`](Self::initialize).
    pub fn load_or_create(store: TensorStore, config: ChainConfig) -> Result<Self, ChainError> {
        let chain = Self::with_config(store, config);
        chain.initialize()?;
        Ok(chain)
    }

    /// Commits the global codebook to the chain, as the next epoch, and returns the number of its entries. Headers
    /// of later blocks carry codes of it.
    ///
    /// # Errors
    /// A codebook of another dimension than the chain's deltas, without an integer form, or too large for a
    /// block; otherwise as [`auto_commit`](Self::auto_commit).
    pub fn save_global_codebook(&self) -> Result<usize, ChainError> {
        let global = self.codebook_manager()?.global().clone();
        let epoch = self.load_global_codebook()?.map_or(0, |codebook| codebook.epoch());
        let global = global.with_epoch(epoch.saturating_add(1));
        let entries = global.len();
        self.auto_commit(Transaction::Put { key: CODEBOOK_KEY.to_owned(), data: global.to_bytes() })?;
        Ok(entries)
    }

    /// The global codebook that was saved last, if any.
    ///
    /// # Errors
    /// A chain that is not initialized; storage that cannot be read.
    pub fn load_global_codebook(&self) -> Result<Option<GlobalCodebook>, ChainError> {
        Ok(codes::stored_codebook(self.ledger()?.store().state()?)?)
    }

    /// The codebooks in use.
    ///
    /// # Errors
    /// A chain that is not initialized.
    pub fn codebook_manager(&self) -> Result<&CodebookManager, ChainError> {
        Ok(&self.running()?.codebooks.manager)
    }

    /// The validator over them.
    ///
    /// # Errors
    /// A chain that is not initialized.
    pub fn transition_validator(&self) -> Result<&TransitionValidator, ChainError> {
        Ok(&self.running()?.codebooks.validator)
    }
}
