//! Forms: what is shown, and what comes back.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Form as Body, RequestExt as _};
use maud::{Markup, html};
use serde_json::Value;

use super::desk::{Desk, Trouble};
use super::session::Visit;
use super::text::t;
use super::{House, layout};

/// Most fields of a form.
const FIELDS: usize = 500;

/// A form that came back, from one of our own pages.
#[derive(Debug, Clone, Default)]
pub struct Submitted(Vec<(String, String)>);

impl FromRequest<House> for Submitted {
    type Rejection = Response;

    async fn from_request(request: Request, house: &House) -> Result<Self, Response> {
        let csrf = request.extensions().get::<Visit>().map(|visit| visit.csrf.clone());
        let fields = request.extract_with_state::<Body<Vec<(String, String)>>, House, _>(house).await;
        let Ok(Body(fields)) = fields else { return Err(refused(StatusCode::BAD_REQUEST)) };
        let submitted = Self(fields);
        if submitted.0.len() > FIELDS {
            return Err(refused(StatusCode::BAD_REQUEST));
        }
        // Before the sign-in there is no token; those forms are guarded by their origin.
        if csrf.is_some_and(|csrf| submitted.get("csrf") != Some(csrf.as_str())) {
            return Err(refused(StatusCode::FORBIDDEN));
        }
        Ok(submitted)
    }
}

fn refused(status: StatusCode) -> Response {
    let said = match status {
        StatusCode::FORBIDDEN => t("This form is too old, or not from here. Go back, load the page again, and send it once more."),
        _ => t("This form could not be read. Go back, load the page again, and send it once more."),
    };
    layout::bare(status, t("That did not work"), html! { p { (said) } })
}

impl Submitted {
    /// From the fields of a form that brought a file; nothing if they are too many.
    pub fn of(fields: Vec<(String, String)>) -> Option<Self> {
        (fields.len() <= FIELDS).then_some(Self(fields))
    }

    /// What a field says, if it says something.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }

    /// What a field says; nothing is an empty text.
    pub fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// Everything a field says: check boxes of one name, and texts of several lines or commas, each trimmed.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let values = self.0.iter().filter(|(key, _)| key == name).flat_map(|(_, value)| value.split(['\n', ',']));
        values.map(str::trim).filter(|value| !value.is_empty()).collect()
    }

    /// Is the box checked?
    pub fn checked(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The field as JSON: its text, or null when it is empty.
    pub fn json(&self, name: &str) -> Value {
        self.get(name).map_or(Value::Null, Value::from)
    }

    /// A whole number as JSON; what is no number stays text, and the API names the field.
    pub fn number(&self, name: &str) -> Value {
        self.get(name).map_or(Value::Null, |text| text.parse::<i64>().map_or_else(|_| Value::from(text), Value::from))
    }

    /// An amount with its currency as JSON, or null when it is empty. A comma is read as the decimal mark.
    pub fn money(&self, name: &str, currency: &str) -> Value {
        self.get(name).map_or(Value::Null, |amount| serde_json::json!({ "amount": amount.replace(',', "."), "currency": currency }))
    }

    /// The form's own idempotency key: however often it is sent, what it does is done once.
    pub fn key(&self) -> Option<&str> {
        self.get("idempotency_key")
    }
}

/// How a field is filled in.
#[derive(Debug, Clone)]
enum Kind {
    Text(&'static str),
    Lines(u8),
    Choice(Vec<(String, String)>),
    Check,
    Hidden,
}

/// A field of a form.
#[derive(Debug, Clone)]
pub struct Field {
    name: String,
    /// Where the API's trouble with it stands, if it has another name there.
    api: Option<String>,
    label: String,
    hint: Option<String>,
    kind: Kind,
    value: Option<String>,
    required: bool,
    autocomplete: Option<&'static str>,
    inputmode: Option<&'static str>,
    suggestions: Vec<String>,
}

impl Field {
    fn new(name: impl Into<String>, label: impl Into<String>, kind: Kind) -> Self {
        Self {
            name: name.into(),
            api: None,
            label: label.into(),
            hint: None,
            kind,
            value: None,
            required: false,
            autocomplete: None,
            inputmode: None,
            suggestions: Vec::new(),
        }
    }

    /// One line of text.
    pub fn text(name: impl Into<String>, label: impl Into<String>) -> Self {
        Self::new(name, label, Kind::Text("text"))
    }

    /// A line of text of an `input` type: `password`, `number`, `date`, `month`, `email`, `datetime-local`, `search`, `tel`.
    pub fn input(kind: &'static str, name: impl Into<String>, label: impl Into<String>) -> Self {
        Self::new(name, label, Kind::Text(kind))
    }

    /// An amount of money.
    pub fn amount(name: impl Into<String>, label: impl Into<String>) -> Self {
        Self { inputmode: Some("decimal"), ..Self::text(name, label) }
    }

    /// Several lines.
    pub fn lines(name: impl Into<String>, label: impl Into<String>, rows: u8) -> Self {
        Self::new(name, label, Kind::Lines(rows))
    }

    /// One of a list: value and words.
    pub fn choice(name: impl Into<String>, label: impl Into<String>, options: impl IntoIterator<Item = (String, String)>) -> Self {
        Self::new(name, label, Kind::Choice(options.into_iter().collect()))
    }

    /// Yes or no.
    pub fn check(name: impl Into<String>, label: impl Into<String>) -> Self {
        Self::new(name, label, Kind::Check)
    }

    /// A value that travels along.
    pub fn hidden(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { value: Some(value.into()), ..Self::new(name, "", Kind::Hidden) }
    }

    /// Its name in the API's errors, where that differs.
    pub fn api(self, name: impl Into<String>) -> Self {
        Self { api: Some(name.into()), ..self }
    }

    /// A sentence below the label.
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// What stands in it at first; a check box is checked by any text.
    pub fn value(self, value: impl ToString) -> Self {
        Self { value: Some(value.to_string()).filter(|value| !value.is_empty()), ..self }
    }

    /// Checked at first.
    pub fn checked(self, checked: bool) -> Self {
        Self { value: checked.then(|| "on".to_owned()), ..self }
    }

    /// It must be filled in.
    pub fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// What the browser may fill in.
    pub fn autocomplete(self, word: &'static str) -> Self {
        Self { autocomplete: Some(word), ..self }
    }

    /// What may be chosen instead of typed.
    pub fn suggestions(self, suggestions: impl IntoIterator<Item = String>) -> Self {
        Self { suggestions: suggestions.into_iter().collect(), ..self }
    }

    fn show(&self, form: &str, given: Option<&Submitted>, trouble: Option<&Trouble>) -> Markup {
        let id = format!("{form}-{}", self.name);
        let api = self.api.as_deref().unwrap_or(&self.name);
        let wrong = trouble.filter(|trouble| trouble.field.as_deref().is_some_and(|field| field == api || root(field) == api));
        let value = match given {
            Some(given) => given.0.iter().find(|(key, _)| *key == self.name).map(|(_, value)| value.clone()),
            None => self.value.clone(),
        };
        let described = match (&self.hint, wrong) {
            (None, None) => None,
            (Some(_), None) => Some(format!("{id}-hint")),
            (None, Some(_)) => Some(format!("{id}-wrong")),
            (Some(_), Some(_)) => Some(format!("{id}-hint {id}-wrong")),
        };
        let invalid = wrong.map(|_| "true");
        let list = (!self.suggestions.is_empty()).then(|| format!("{id}-list"));
        if matches!(self.kind, Kind::Hidden) {
            return html! { input type="hidden" name=(self.name) value=[self.value.as_deref()]; };
        }
        html! {
            div.field.check[matches!(self.kind, Kind::Check)] {
                @if matches!(self.kind, Kind::Check) {
                    input id=(id) type="checkbox" name=(self.name) checked[value.is_some()] aria-describedby=[described.as_deref()];
                }
                label for=(id) { (self.label) @if self.required { span.required aria-hidden="true" { " *" } } }
                @if let Some(hint) = &self.hint { p.hint id={ (id) "-hint" } { (hint) } }
                @match &self.kind {
                    Kind::Text(kind) => input id=(id) type=(kind) name=(self.name) value=[value.as_deref().filter(|_| *kind != "password")]
                        required[self.required] autocomplete=(self.autocomplete.unwrap_or("off")) inputmode=[self.inputmode]
                        aria-invalid=[invalid] aria-describedby=[described.as_deref()] list=[list.as_deref()];,
                    Kind::Lines(rows) => textarea id=(id) name=(self.name) rows=(rows) required[self.required] aria-invalid=[invalid]
                        aria-describedby=[described.as_deref()] { (value.as_deref().unwrap_or_default()) },
                    Kind::Choice(options) => select id=(id) name=(self.name) required[self.required] aria-invalid=[invalid]
                        aria-describedby=[described.as_deref()] {
                            @for (option, words) in options {
                                option value=(option) selected[value.as_deref().unwrap_or_default() == option] { (words) }
                            }
                        },
                    Kind::Check | Kind::Hidden => {},
                }
                @if let Some(list) = &list { datalist id=(list) { @for suggestion in &self.suggestions { option value=(suggestion) {} } } }
                @if let Some(wrong) = wrong { p.wrong id={ (id) "-wrong" } { (wrong.message) } }
            }
        }
    }
}

/// The field of a form that a part of a request belongs to: `amount` of `amount.currency`, `numbers` of `numbers[0]`.
fn root(field: &str) -> &str {
    field.split(['.', '[']).next().unwrap_or_default()
}

/// A form that came back, on a page that has several.
#[derive(Debug, Clone, Copy)]
pub struct Again<'f> {
    /// Which form it is.
    pub form: &'static str,
    /// What it said.
    pub given: &'f Submitted,
    /// What is wrong with it.
    pub trouble: &'f Trouble,
}

impl Again<'_> {
    /// The status of a page with `again` on it.
    pub fn status(again: Option<&Self>) -> StatusCode {
        again.map_or(StatusCode::OK, |again| again.trouble.status)
    }
}

/// A form on its page.
#[expect(clippy::struct_excessive_bools, reason = "each is one thing a form may be, said by the method of its name")]
pub struct Form<'f> {
    desk: &'f Desk,
    action: String,
    button: String,
    fields: Vec<Markup>,
    given: Option<&'f Submitted>,
    trouble: Option<&'f Trouble>,
    named: BTreeSet<String>,
    confirm: Option<String>,
    danger: bool,
    once: bool,
    multipart: bool,
    inline: bool,
    wide: bool,
}

impl<'f> Form<'f> {
    /// A form that is sent to `action` by a button with these words.
    pub fn new(desk: &'f Desk, action: impl Into<String>, button: impl Into<String>) -> Self {
        Self {
            desk,
            action: action.into(),
            button: button.into(),
            fields: Vec::new(),
            given: None,
            trouble: None,
            named: BTreeSet::new(),
            confirm: None,
            danger: false,
            once: false,
            multipart: false,
            inline: false,
            wide: false,
        }
    }

    /// It came back like this, and this is wrong with it. Say it before the fields.
    pub fn again(self, given: Option<&'f Submitted>, trouble: Option<&'f Trouble>) -> Self {
        Self { given, trouble, ..self }
    }

    /// As [`Form::again`], on a page with several forms: only if it was this one that came back.
    pub fn again_as(self, form: &'static str, again: Option<&Again<'f>>) -> Self {
        let again = again.filter(|again| again.form == form);
        self.again(again.map(|again| again.given), again.map(|again| again.trouble))
    }

    /// A field.
    pub fn field(mut self, field: Field) -> Self {
        let form: String = self.action.chars().filter(char::is_ascii_alphanumeric).collect();
        self.fields.push(field.show(&form, self.given, self.trouble));
        let api = field.api.unwrap_or(field.name);
        self.named.insert(api);
        self
    }

    /// Anything between the fields.
    pub fn with(mut self, markup: Markup) -> Self {
        self.fields.push(markup);
        self
    }

    /// Asks before it is sent.
    pub fn confirm(self, question: impl Into<String>) -> Self {
        Self { confirm: Some(question.into()), ..self }
    }

    /// What it does cannot be undone.
    pub fn danger(self) -> Self {
        Self { danger: true, ..self }
    }

    /// It carries an idempotency key: sent twice, it does its work once. For everything that moves money.
    pub fn once(self) -> Self {
        Self { once: true, ..self }
    }

    /// It carries a file.
    pub fn multipart(self) -> Self {
        Self { multipart: true, ..self }
    }

    /// All on one line: a button in a table, a small filter.
    pub fn inline(self) -> Self {
        Self { inline: true, ..self }
    }

    /// Fields side by side where there is room.
    pub fn wide(self) -> Self {
        Self { wide: true, ..self }
    }

    /// The form.
    pub fn show(self) -> Markup {
        let at_a_field = |trouble: &Trouble| {
            trouble.field.as_deref().is_some_and(|field| self.named.contains(root(field)) || self.named.contains(field))
        };
        let house = &self.desk.house.state;
        let key = self.once.then(|| {
            // The same key while the form is being corrected: only what was done counts as done.
            let kept = self.given.and_then(|given| given.key().map(str::to_owned));
            kept.filter(|_| self.trouble.is_some_and(|trouble| trouble.status.is_server_error()))
                .unwrap_or_else(|| house.random.alphanumeric(32))
        });
        html! {
            form.form.inline[self.inline].two[self.wide] method="post" action=(self.action) enctype=[self.multipart.then_some("multipart/form-data")]
                data-confirm=[self.confirm.as_deref()] {
                (self.desk.visit.csrf_field())
                @if let Some(key) = &key { input type="hidden" name="idempotency_key" value=(key); }
                @if let Some(trouble) = self.trouble {
                    div.trouble role="alert" {
                        p { @if trouble.code == "confirm_needed" {
                            (t("Your password was given too long ago for this.")) " "
                            a href={ "/admin/confirm?next=" (super::desk::escaped(&self.desk.path)) } target="_blank" { (t("Give it again on another page")) } ". "
                            (t("Then send this form again."))
                        } @else if at_a_field(trouble) { (t("Something is not right yet. See the field that is marked.")) } @else { (trouble.message) } }
                    }
                }
                @for field in &self.fields { (field) }
                div.buttons { button.primary[!self.danger && !self.inline].danger[self.danger] type="submit" { (self.button) } }
            }
        }
    }
}

/// Filters above a list: a form that asks for the same page with a query.
pub fn filters(action: &str, asked: &BTreeMap<String, String>, fields: Vec<Field>) -> Markup {
    let given = Submitted(asked.iter().map(|(name, value)| (name.clone(), value.clone())).collect());
    let form: String = action.chars().filter(char::is_ascii_alphanumeric).collect();
    html! {
        form.filters method="get" action=(action) role="search" {
            @for field in fields { (field.show(&form, Some(&given), None)) }
            div.buttons { button type="submit" { (t("Search")) } a.button.plain href=(action) { (t("Clear")) } }
        }
    }
}
