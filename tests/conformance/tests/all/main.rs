//! What every plugin has to pass, and what the host does with plugins that fail.

mod bundled;
mod components;
mod guests {
    mod faults;
    mod in_turn;
    mod ring;
}
mod native;
mod support;
