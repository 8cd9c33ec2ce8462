//! The early dialogs of one INVITE: a fork rings several phones, each with its own tag.

use super::Dialog;
use crate::sip::leg::EarlyDialogId;

/// Forks kept apart for one INVITE. More ring on, but are known only by their 200.
pub const MAX_FORKS: usize = 16;

/// The early dialogs in the order they were first heard of.
#[derive(Debug, Default)]
pub struct Forks {
    dialogs: Vec<Dialog>,
    latest: usize,
}

impl Forks {
    /// Takes in what a provisional response tells of its dialog, and says which one it is.
    pub fn heard(&mut self, dialog: Dialog) -> EarlyDialogId {
        let place = self.dialogs.iter().position(|known| known.remote_tag == dialog.remote_tag);
        self.latest = match place {
            // RFC 3261 §12.1: what made the dialog stays, but a later reliable-looking target serves requests better than none.
            Some(place) => place,
            None if self.dialogs.len() < MAX_FORKS => {
                self.dialogs.push(dialog);
                self.dialogs.len() - 1
            }
            None => return EarlyDialogId(u32::MAX),
        };
        EarlyDialogId(u32::try_from(self.latest).unwrap_or(u32::MAX))
    }

    /// The one of this remote tag.
    pub fn find(&mut self, remote_tag: &str) -> Option<(EarlyDialogId, &mut Dialog)> {
        let place = self.dialogs.iter().position(|known| known.remote_tag.as_ref() == remote_tag)?;
        Some((EarlyDialogId(u32::try_from(place).unwrap_or(u32::MAX)), &mut self.dialogs[place]))
    }

    /// The one of this name; if none is named, the one heard last.
    pub fn get(&mut self, early: Option<EarlyDialogId>) -> Option<(EarlyDialogId, &mut Dialog)> {
        let place = early.map_or(Some(self.latest), |early| usize::try_from(early.0).ok())?;
        Some((EarlyDialogId(u32::try_from(place).unwrap_or(u32::MAX)), self.dialogs.get_mut(place)?))
    }

    /// Takes out the one of this remote tag, to become the dialog of the call. What it knows of sequence numbers stays true.
    pub fn confirm(&mut self, remote_tag: &str) -> Option<(EarlyDialogId, Dialog)> {
        let (id, _) = self.find(remote_tag)?;
        Some((id, self.dialogs.swap_remove(id.0 as usize)))
    }

    /// The name for a dialog that had not rung.
    pub fn unheard(&self) -> EarlyDialogId {
        EarlyDialogId(u32::try_from(self.dialogs.len()).unwrap_or(u32::MAX))
    }
}
