//! What a call costs, how long credit lasts: decks, rates, quotes.
