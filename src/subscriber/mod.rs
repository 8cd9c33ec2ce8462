//! Who may call: subscribers, their verified numbers, credentials, devices.
