//! The handles of a component instance ("Table", "ResourceHandle").
//!
//! All resources here are the host's: no guest defines one, so that a borrow is a handle
//! everywhere.

use cwasm::TrapCode;

/// "ResourceHandle"
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle {
    /// Which type of resources.
    pub ty: usize,
    /// The representation.
    pub rep: u32,
    /// Whether it is owned, or borrowed.
    pub own: bool,
    lends: u32,
    /// The call that it must be dropped in, if it is borrowed ("borrow_scope").
    scope: usize,
}

/// An operation on a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandleStep {
    /// A resource of this type that stands for this was added.
    Make(usize, u32),
    /// This handle of a resource of this type was dropped.
    Drop(usize, u32),
}

/// "Table"
#[derive(Clone, Debug)]
pub struct Handles {
    array: Vec<Option<Handle>>,
    free: Vec<u32>,
    /// How many borrows each call that is not over has got and not dropped ("num_borrows"), the
    /// outermost first: there is one always.
    borrows: Vec<u32>,
    /// The operations so far, in order, so that a guest can be made to repeat them.
    pub steps: Vec<HandleStep>,
}

impl Default for Handles {
    fn default() -> Handles {
        Handles {
            // Handle 0 is never used.
            array: vec![None],
            free: Vec::new(),
            borrows: vec![0],
            steps: Vec::new(),
        }
    }
}

impl Handles {
    /// A call begins: what it gets on loan is counted apart.
    pub fn begin(&mut self) {
        self.borrows.push(0);
    }

    /// The call that has begun last returns.
    ///
    /// # Errors
    /// [`TrapCode::BorrowsRemain`].
    pub fn end(&mut self) -> Result<(), TrapCode> {
        match self.borrows.pop() {
            Some(0) => Ok(()),
            _ => Err(TrapCode::BorrowsRemain),
        }
    }

    /// "add"; one that is borrowed is for the call that has begun last.
    pub fn add(&mut self, ty: usize, rep: u32, own: bool) -> u32 {
        let (lends, scope) = (0, self.borrows.len() - 1);
        self.borrows[scope] += u32::from(!own);
        let handle = Some(Handle {
            ty,
            rep,
            own,
            lends,
            scope,
        });
        self.steps.push(HandleStep::Make(ty, rep));
        match self.free.pop() {
            Some(index) => {
                self.array[index as usize] = handle;
                index
            }
            None => {
                self.array.push(handle);
                self.array.len() as u32 - 1
            }
        }
    }

    /// "get", and the check of the type.
    fn get(&mut self, ty: usize, index: u32) -> Result<&mut Handle, TrapCode> {
        match self.array.get_mut(index as usize) {
            Some(Some(handle)) if handle.ty == ty => Ok(handle),
            Some(Some(_)) => Err(TrapCode::WrongResourceType),
            _ => Err(TrapCode::UnknownHandle),
        }
    }

    fn remove(&mut self, index: u32) {
        if let Some(handle) = self.array[index as usize].take() {
            self.free.push(index);
            self.borrows[handle.scope] -= u32::from(!handle.own);
        }
    }

    /// "lift_own"
    pub fn take(&mut self, ty: usize, index: u32) -> Result<u32, TrapCode> {
        let handle = *self.get(ty, index)?;
        if handle.lends != 0 {
            return Err(TrapCode::ResourceBorrowed);
        }
        if !handle.own {
            return Err(TrapCode::NotOwned);
        }
        self.remove(index);
        Ok(handle.rep)
    }

    /// "lift_borrow"
    pub fn lend(&mut self, ty: usize, index: u32) -> Result<u32, TrapCode> {
        let handle = self.get(ty, index)?;
        handle.lends += 1;
        Ok(handle.rep)
    }

    /// "deliver_resolve"
    pub fn release(&mut self) {
        for handle in self.array.iter_mut().flatten() {
            handle.lends = 0;
        }
    }

    /// "canon_resource_drop", by a guest that may be wrong.
    ///
    /// # Errors
    /// The traps of the specification.
    pub fn try_drop(&mut self, ty: usize, index: u32) -> Result<(), TrapCode> {
        if self.get(ty, index)?.lends != 0 {
            return Err(TrapCode::ResourceBorrowed);
        }
        self.remove(index);
        Ok(())
    }

    /// "canon_resource_drop"
    ///
    /// # Panics
    /// If it is not there: only what is right is done with this.
    pub fn drop(&mut self, ty: usize, index: u32) {
        self.get(ty, index).expect("a handle");
        self.steps.push(HandleStep::Drop(ty, index));
        self.remove(index);
    }

    /// All handles.
    pub fn all(&self) -> impl Iterator<Item = (u32, Handle)> {
        let entries = (0..).zip(&self.array);
        entries.filter_map(|(index, handle)| Some((index, (*handle)?)))
    }

    /// Those that must be dropped before the call returns ("num_borrows").
    pub fn borrows(&self) -> Vec<(u32, Handle)> {
        self.all().filter(|(_, handle)| !handle.own).collect()
    }
}
