//! Prices going in by the page: the dry run names the broken lines, and nothing changes until it is applied.

use super::reader::{Reader, found, well_formed};

#[tokio::test]
async fn a_file_is_looked_at_and_then_applied() {
    let owner = Reader::owner().await;
    let made = owner.sends("/admin/decks/new", "/admin/decks", &[("name", "retail"), ("currency", "eur"), ("kind", "sell")]).await;
    assert_eq!(made.status, 303, "{}", made.text);
    let deck = made.header("location").to_owned();
    well_formed(&deck, &owner.get(&deck).await.text);
    let file = "Code,Name,Price\n1,North America,0.02\nx,Broken,0.02\n420,Czechia,0.05\n44,Broken,zero\n49,Broken,-1\n";

    let refused = owner.uploads(&deck, file, "0").await;
    let refused = if refused.status == 303 { owner.get(refused.header("location")).await } else { refused };
    well_formed("a rejected import", &refused.text);
    assert!(refused.text.contains("Broken lines") || refused.text.contains("role=\"alert\""), "{}", refused.text);

    let looked = owner.uploads(&deck, file, "3").await;
    assert_eq!(looked.status, 303, "{}", looked.text);
    let import = looked.header("location").split('?').next().unwrap().to_owned();
    let page = owner.get(&import).await;
    well_formed(&import, &page.text);
    assert!(page.text.contains("Nothing has changed yet") && page.text.contains("Broken lines"), "{}", page.text);
    for line in [
        "<td data-label=\"Line\"><div>3</div></td>",
        "<td data-label=\"Line\"><div>5</div></td>",
        "<td data-label=\"Line\"><div>6</div></td>",
    ] {
        assert!(page.text.contains(line), "{line} in {}", page.text);
    }
    assert!(owner.get(&deck).await.text.contains("No prices yet"));
    let applied = owner.sends(&import, &format!("{import}/apply"), &[]).await;
    assert_eq!((applied.status, applied.header("location")), (303, import.as_str()), "{}", applied.text);
    assert!(owner.get(&deck).await.text.contains("Save as CSV"));
    let sheet = owner.get(&format!("{deck}/export")).await;
    assert!(sheet.status == 200 && sheet.text.contains("North America"), "{}", sheet.text);

    // The first prices again, from a day to come.
    let looked = owner.uploads(&deck, "Code,Name,Price\n1,North America,0.03\n", "0").await;
    let import = looked.header("location").split('?').next().unwrap().to_owned();
    assert_eq!(owner.sends(&import, &format!("{import}/apply"), &[]).await.status, 303);
    let shown = owner.get(&deck).await.text;
    let ask = format!("{deck}/{}", found(&shown, "roll-back?version_id=dver_"));
    let back = format!("{deck}/roll-back");
    well_formed(&ask, &owner.get(&ask).await.text);
    let refused = owner.sends(&ask, &back, &[("effective_from", "soon")]).await;
    assert!(refused.status == 400 && refused.text.contains("role=\"alert\""), "{}", refused.text);
    let done = owner.sends(&ask, &back, &[("effective_from", "2031-05-06T07:08")]).await;
    assert_eq!(done.status, 303, "{}", done.text);
    assert!(owner.get(&deck).await.text.contains("2031-05-06"));
}
