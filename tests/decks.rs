//! Decks through the API: files that are held, looked at, applied, rolled back and written out; prices that are explained.

use serde_json::{Value, json};

use crate::support::door::Door;

async fn deck(door: &Door, body: Value) -> String {
    let made = door.post("/decks", &body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    made.body["id"].as_str().unwrap().to_owned()
}

async fn begin(door: &Door, deck: &str, query: &str, file: &str) -> Value {
    let answer =
        door.send("POST", &format!("/decks/{deck}/imports?wait=true{query}"), &[("content-type", "text/csv")], Some(&json!(file))).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    answer.body
}

async fn apply(door: &Door, import: &Value) -> Value {
    let body = json!({ "fingerprint": import["report"]["fingerprint"], "wait": true });
    let answer = door.post(&format!("/imports/{}/apply", import["id"].as_str().unwrap()), &body).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    answer.body
}

#[tokio::test]
async fn a_file_is_held_looked_at_and_applied_once() {
    let door = Door::open().await;
    let deck = deck(&door, json!({ "name": "retail", "currency": "EUR" })).await;
    let file = "Destination;Dial code;Rate;Increment\nCzechia;420;0,05;60/60\nUK;44;0,02;1/1\nNorth America;1;0,01;6/6\n";
    let import = begin(&door, &deck, "&decimal_mark=comma", file).await;
    assert_eq!((&import["state"], &import["rows_read"]), (&json!("checked"), &json!(3)));
    let address = format!("/imports/{}", import["id"].as_str().unwrap());
    let first = door.get(&format!("{address}/rows?list=added&limit=2")).await.body;
    assert_eq!((first["items"].as_array().unwrap().len(), &first["next"]), (2, &json!("2")));
    let rest = door.get(&format!("{address}/rows?list=added&limit=2&after=2")).await.body;
    assert_eq!((&rest["items"][0]["prefix"], &rest["next"]), (&json!("44"), &Value::Null));
    let other = door.post(&format!("{address}/apply"), &json!({ "fingerprint": "something else" })).await;
    assert_eq!((other.status, &other.body["field"]), (409, &json!("fingerprint")));
    let applied = apply(&door, &import).await;
    assert_eq!((&applied["state"], &applied["rows_written"]), (&json!("applied"), &json!(3)));
    let again = door.post(&format!("{address}/apply"), &json!({ "fingerprint": import["report"]["fingerprint"] })).await;
    assert_eq!(again.status, 409, "{}", again.text);
    let version = door.get(&format!("/decks/{deck}")).await.body["versions"][0].clone();
    assert_eq!(version["id"], applied["version_id"]);
    assert_eq!(door.send("DELETE", &address, &[], None).await.status, 204);
    assert_eq!(door.get(&address).await.status, 404);
}

#[tokio::test]
async fn a_rejected_file_tells_its_lines_and_cannot_be_applied() {
    let door = Door::open().await;
    let deck = deck(&door, json!({ "name": "retail", "currency": "EUR" })).await;
    let import = begin(&door, &deck, "", "prefix,rate\n420,0.05\n44,free\n1,\"1,000.00\"\n").await;
    assert_eq!((&import["state"], &import["rejected"]), (&json!("rejected"), &json!(2)));
    assert_eq!((&import["rejects"][0]["line"], &import["rejects"][1]["line"]), (&json!(3), &json!(4)));
    let answer = door.post(&format!("/imports/{}/apply", import["id"].as_str().unwrap()), &json!({ "fingerprint": "x" })).await;
    assert_eq!(answer.status, 409, "{}", answer.text);
}

#[tokio::test]
async fn what_is_written_out_comes_back_unchanged_and_an_old_version_too() {
    let door = Door::open().await;
    let deck = deck(&door, json!({ "name": "retail", "currency": "EUR" })).await;
    let first = "prefix,name,per_minute,periods\n420,=Czechia,0.05,mo-fr 08:00-18:00 0.09 @+01:00\n44,\"UK, all\",0.02,\n";
    let applied = apply(&door, &begin(&door, &deck, "&rounding=half_even", first).await).await;
    let file = door.get(&format!("/decks/{deck}/export")).await;
    assert!(file.header("content-type").starts_with("text/csv") && file.text.contains(",'=Czechia,"), "{}", file.text);
    let same = begin(&door, &deck, "", &file.text).await;
    assert_eq!((&same["report"]["unchanged"], &same["report"]["rates"]), (&json!(2), &json!(2)), "{same}");
    apply(&door, &begin(&door, &deck, "", "prefix,per_minute\n420,0.50\n").await).await;
    let back = door.post(&format!("/decks/{deck}/roll_back"), &json!({ "version_id": applied["version_id"] })).await;
    assert_eq!((back.status, &back.body["number"]), (201, &json!(3)), "{}", back.text);
    assert_eq!(door.get(&format!("/decks/{deck}/export")).await.text, file.text);
    let log: Vec<String> = {
        let mut connection = door.state.database.read().await.unwrap();
        let rows = "select action from audit where target = $1 order by action";
        sqlx::query_scalar(rows).bind(&deck).fetch_all(&mut *connection).await.unwrap()
    };
    assert_eq!(log, ["deck.apply", "deck.apply", "deck.create", "deck.roll_back"]);
}

#[tokio::test]
async fn a_price_is_explained_with_what_carriers_leave() {
    let door = Door::open().await;
    let deck = deck(&door, json!({ "name": "retail", "currency": "EUR" })).await;
    apply(&door, &begin(&door, &deck, "", "prefix,name,per_minute\n420,Czechia,0.60\n42060,Czechia mobile,0.90\n420777,other,1\n").await)
        .await;
    let costs = crate::decks::deck(&door, json!({ "name": "north", "currency": "USD", "kind": "cost" })).await;
    apply(&door, &begin(&door, &costs, "", "prefix,per_minute\n420,0.50\n").await).await;
    let fx = door.post("/fx-rates", &json!({ "from": "USD", "to": "EUR", "rate": "0.9" })).await;
    assert_eq!((fx.status, &fx.body["rate"]), (201, &json!("9/10")), "{}", fx.text);
    let trunk = json!({ "name": "north", "target": "192.0.2.7", "cost_deck": costs });
    let made = door.post("/trunks", &trunk).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let wrong = door.post("/trunks", &json!({ "name": "south", "target": "192.0.2.8", "cost_deck": deck })).await;
    assert_eq!((wrong.status, &wrong.body["field"]), (422, &json!("cost_deck")), "a tariff is no carrier's deck");
    let told = door.get("/rates/explain?number=%2B420601123456&duration_secs=61").await;
    assert_eq!(told.status, 200, "{}", told.text);
    assert_eq!((&told.body["prefix"], &told.body["charge"]["amount"]["amount"]), (&json!("42060"), &json!("1.80")));
    assert_eq!(told.body["passed_over"][0]["reason"], "shorter");
    let carrier = &told.body["carriers"][0];
    assert_eq!((&carrier["trunk"], &carrier["verdict"], &carrier["margin"]["amount"]), (&json!("north"), &json!("fits"), &json!("0.90")));
    assert!(told.body["sentences"].as_array().unwrap().len() > 5);
    let nothing = door.get("/rates/explain?number=%2B33155501234").await;
    assert_eq!((nothing.status, &nothing.body["code"]), (404, &json!("no_rate")));
}
