//! Somebody who reads the pages with a browser that runs no scripts: cookies are kept, forms are read from the page.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use callthrough::database::Kind;
use callthrough::people::invitation;
use callthrough::types::Clock;

use crate::support::door::{Answer, Door};

pub const LOGIN: &str = "owner@example.com";
pub const PASSWORD: &str = "correct horse battery staple";

/// A browser at a door.
pub struct Reader {
    door: Arc<Door>,
    client: reqwest::Client,
    cookies: Mutex<BTreeMap<String, String>>,
}

impl Reader {
    /// The first owner of an empty house, signed in by the one-time link.
    pub async fn owner() -> Self {
        Self::owner_on(Kind::Sqlite).await
    }

    /// The same on books of this kind.
    pub async fn owner_on(kind: Kind) -> Self {
        let door = Door::on(kind).await;
        let (clock, random) = (door.state.clock.clone(), door.state.random.clone());
        let made = door.state.database.write(move |tx| Box::pin(async move { invitation::welcome(tx, &clock, &random).await }));
        let link = invitation::path(&made.await.unwrap().expect("nobody is an owner yet"));
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let owner = Self { door: Arc::new(door), client, cookies: Mutex::default() };
        owner.takes(&link, &[("login", LOGIN), ("name", "Owner")]).await;
        owner
    }

    /// Chooses a password by a one-time link.
    async fn takes(&self, link: &str, more: &[(&str, &str)]) {
        let mut form = self.form(link, link).await;
        let both = [("password", PASSWORD), ("again", PASSWORD)];
        form.extend(both.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let done = self.post(link, &form).await;
        assert_eq!((done.status, done.header("location")), (303, "/admin/me?new=1"), "{}", done.text);
    }

    /// Another browser, signed in nowhere.
    pub fn stranger(&self) -> Self {
        Self { door: self.door.clone(), client: self.client.clone(), cookies: Mutex::default() }
    }

    /// Somebody new, invited and signed in.
    pub async fn invites(&self, login: &str, role: &str, operator: bool) -> Self {
        let operator = if operator { "true" } else { "false" };
        let fields = [("login", login), ("name", login), ("role", role), ("operator", operator)];
        let told = self.sends("/admin/people/new", "/admin/people", &fields).await;
        assert_eq!(told.status, 200, "{}", told.text);
        let link = told.text.split("/admin/welcome/").nth(1).unwrap().split('<').next().unwrap();
        let somebody = self.stranger();
        somebody.takes(&format!("/admin/welcome/{link}"), &[]).await;
        somebody
    }

    pub fn clock(&self) -> &Clock {
        &self.door.state.clock
    }

    async fn asks(&self, request: reqwest::RequestBuilder) -> Answer {
        let cookies: Vec<String> = self.cookies.lock().unwrap().iter().map(|(name, value)| format!("{name}={value}")).collect();
        let answer = Answer::of(request.header("cookie", cookies.join("; "))).await;
        for cookie in answer.headers.get_all("set-cookie") {
            let (name, rest) = cookie.to_str().unwrap().split_once('=').unwrap();
            let value = rest.split(';').next().unwrap();
            let mut kept = self.cookies.lock().unwrap();
            if rest.contains("Max-Age=0") {
                kept.remove(name)
            } else {
                kept.insert(name.to_owned(), value.to_owned())
            };
        }
        answer
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.asks(self.client.get(format!("http://{}{path}", self.door.address))).await
    }

    /// As a page's script asks by itself.
    pub async fn get_live(&self, path: &str) -> Answer {
        self.asks(self.client.get(format!("http://{}{path}", self.door.address)).header("callthrough-live", "1")).await
    }

    /// Sends a form as it is.
    pub async fn post(&self, path: &str, form: &BTreeMap<String, String>) -> Answer {
        self.post_from(&format!("http://{}", self.door.address), path, form).await
    }

    /// The same from a page of another site.
    pub async fn post_from(&self, origin: &str, path: &str, form: &BTreeMap<String, String>) -> Answer {
        let request = self.client.post(format!("http://{}{path}", self.door.address)).header("origin", origin);
        self.asks(request.form(form)).await
    }

    /// Sends a file of prices by the form of a deck's page.
    pub async fn uploads(&self, deck: &str, file: &str, max_rejects: &str) -> Answer {
        let action = format!("{deck}/import");
        let mut form = self.form(deck, &action).await;
        form.remove("file");
        form.insert("max_rejects".to_owned(), max_rejects.to_owned());
        self.sends_parts(&action, form, file).await
    }

    /// Opens a page, fills in one of its forms that take a file, and sends it with one.
    pub async fn sends_file(&self, page: &str, action: &str, fields: &[(&str, &str)], file: &str) -> Answer {
        let mut form = self.form(page, action).await;
        form.remove("file");
        form.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self.sends_parts(action, form, file).await
    }

    async fn sends_parts(&self, action: &str, mut form: BTreeMap<String, String>, file: &str) -> Answer {
        let mut body = String::new();
        // The page has the token first and the file last.
        let csrf = form.remove("csrf").unwrap();
        for (name, value) in std::iter::once(("csrf".to_owned(), csrf)).chain(form) {
            body += &format!("--edge\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        }
        body += &format!("--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\n\r\n{file}\r\n--edge--\r\n");
        let request = self.client.post(format!("http://{}{action}", self.door.address));
        let origin = format!("http://{}", self.door.address);
        self.asks(request.header("origin", origin).header("content-type", "multipart/form-data; boundary=edge").body(body)).await
    }

    /// Opens a page, fills in one of its forms and sends it.
    pub async fn sends(&self, page: &str, action: &str, fields: &[(&str, &str)]) -> Answer {
        let mut form = self.form(page, action).await;
        form.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self.post(action, &form).await
    }

    /// Sends a form that the page does not show, with the page's own token.
    pub async fn sends_bare(&self, page: &str, action: &str, fields: &[(&str, &str)]) -> Answer {
        let csrf = self.form(page, "/admin/sign-out").await;
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.post(action, &csrf.into_iter().chain(fields).collect()).await
    }

    /// What a form of a page says before somebody fills it in.
    pub async fn form(&self, page: &str, action: &str) -> BTreeMap<String, String> {
        let shown = self.get(page).await;
        assert_eq!(shown.status, 200, "{page}: {}", shown.text);
        let forms = shown.text.split("<form").skip(1).map(|rest| rest.split("</form>").next().unwrap());
        let form = forms.into_iter().find(|form| attribute(form, "action").as_deref() == Some(action));
        let form = form.unwrap_or_else(|| panic!("no form to {action} on {page}: {}", shown.text));
        let mut fields = BTreeMap::new();
        for input in tags(form, "input") {
            let checked = !input.contains("type=\"checkbox\"") || input.contains(" checked");
            if let (Some(name), true) = (attribute(input, "name"), checked) {
                fields.insert(
                    name,
                    attribute(input, "value").unwrap_or_else(|| if input.contains("checkbox") { "on".to_owned() } else { String::new() }),
                );
            }
        }
        for lines in form.split("<textarea").skip(1).map(|rest| rest.split("</textarea>").next().unwrap()) {
            let said = lines.split_once('>').map_or("", |(_, said)| said);
            fields.insert(attribute(lines, "name").unwrap(), said.to_owned());
        }
        for select in form.split("<select").skip(1).map(|rest| rest.split("</select>").next().unwrap()) {
            let options = tags(select, "option");
            let chosen = options.iter().find(|option| option.contains(" selected")).or_else(|| options.first());
            fields.insert(attribute(select, "name").unwrap(), chosen.and_then(|option| attribute(option, "value")).unwrap_or_default());
        }
        fields
    }

    /// Adds a subscriber by the page; where they are.
    pub async fn adds_a_subscriber(&self, name: &str, number: &str) -> String {
        let fields = [("name", name), ("home_country", "cz"), ("currency", "eur"), ("numbers", number), ("identities", name)];
        let made = self.sends("/admin/subscribers/new", "/admin/subscribers", &fields).await;
        assert_eq!(made.status, 303, "{}", made.text);
        made.header("location").to_owned()
    }

    /// Where the account of a subscriber is.
    pub async fn account_of(&self, subscriber: &str) -> String {
        let page = self.get(subscriber).await.text;
        let id = page.split("/admin/accounts/acct_").nth(1).unwrap();
        let id: String = id.chars().take_while(char::is_ascii_alphanumeric).collect();
        format!("/admin/accounts/acct_{id}")
    }

    /// Chooses the tenant to work for by its name.
    pub async fn chooses(&self, name: &str) {
        let page = self.get("/admin").await.text;
        let switch = page.split("action=\"/admin/tenant\"").nth(1).unwrap().split("</form>").next().unwrap();
        let option = switch.split("<option").find(|option| option.contains(&format!(">{name}<"))).unwrap();
        let id = attribute(option, "value").unwrap();
        assert_eq!(self.sends("/admin", "/admin/tenant", &[("tenant", &id)]).await.status, 303);
    }
}

/// The first id on a page that stands after this; `before` ends with the kind of the id.
pub fn found(page: &str, before: &str) -> String {
    let rest = page.split(before).nth(1).unwrap_or_else(|| panic!("no {before} in {page}"));
    let id: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
    format!("{}{id}", before.rsplit('/').next().unwrap())
}

/// The same address with an id of the same kind that nobody has.
pub fn another_id(path: &str) -> String {
    path.split('/')
        .map(|part| part.split_once('_').map_or(part.to_owned(), |(kind, _)| format!("{kind}_01jb3k5m7n9p0q1r2s3t4v5w6x")))
        .collect::<Vec<_>>()
        .join("/")
}

fn tags<'t>(html: &'t str, name: &str) -> Vec<&'t str> {
    let opening = format!("<{name}");
    html.split(opening.as_str()).skip(1).map(|rest| rest.split('>').next().unwrap()).collect()
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let found = tag.split(&format!(" {name}=\"")).nth(1)?.split('"').next()?;
    Some(found.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\""))
}

/// Every element that is opened is closed, in order; every id stands for one; every field has its label.
pub fn well_formed(page: &str, html: &str) {
    const VOID: [&str; 7] = ["br", "hr", "img", "input", "link", "meta", "col"];
    let mut open: Vec<&str> = Vec::new();
    let mut ids: BTreeMap<String, u32> = BTreeMap::new();
    for part in html.split('<').skip(1) {
        let tag = part.split('>').next().unwrap();
        if tag.starts_with('!') {
            continue;
        }
        let name = tag.split([' ', '/', '\n']).find(|name| !name.is_empty()).unwrap_or_default();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "{page}: </{name}> closes something else");
            continue;
        }
        if let Some(id) = attribute(tag, "id") {
            *ids.entry(id).or_default() += 1;
        }
        if !VOID.contains(&name) && !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{page}: {open:?} is never closed");
    let twice: Vec<_> = ids.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "{page}: {twice:?} stand for more than one");
    for field in ["input", "select", "textarea"].iter().flat_map(|name| tags(html, name)) {
        if field.contains("type=\"hidden\"") {
            continue;
        }
        let id = attribute(field, "id").unwrap_or_else(|| panic!("{page}: <{field}> has no id"));
        assert!(html.contains(&format!("<label for=\"{id}\"")), "{page}: {id} has no label");
    }
    for described in html.split("aria-describedby=\"").skip(1).flat_map(|rest| rest.split('"').next().unwrap().split(' ')) {
        assert!(described.is_empty() || ids.contains_key(described), "{page}: nothing is called {described}");
    }
}
