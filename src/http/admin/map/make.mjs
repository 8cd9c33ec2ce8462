import { readFileSync, writeFileSync } from "node:fs";
import { feature, mesh } from "topojson-client";
import { geoArea, geoCentroid, geoEquirectangular, geoPath } from "d3-geo";
import iso from "i18n-iso-countries";

const read = (name) => JSON.parse(readFileSync(`node_modules/world-atlas/${name}.json`));
const projection = geoEquirectangular().scale(1000 / (2 * Math.PI)).translate([500, 250]).precision(0);
const number = (tenths) => (tenths / 10).toString().replace(/^(-?)0\./, "$1.");
const pair = (a, b) => { const first = number(a), second = number(b); return second.startsWith("-") ? first + second : first + " " + second; };
// An equirectangular world of 1000 by 500, in tenths, cut where east meets west; steps shorter than four tenths are left out.
function drawn(shape) {
  let path = "", last = [0, 0];
  const to = (letter) => (px, py) => {
    const [tx, ty] = [Math.round(px * 10), Math.round(py * 10)];
    if (letter === "l" && Math.abs(tx - last[0]) + Math.abs(ty - last[1]) < 4) return;
    path += letter + (letter === "M" ? pair(tx, ty) : pair(tx - last[0], ty - last[1]));
    last = [tx, ty];
  };
  geoPath(projection, { moveTo: to("M"), lineTo: to("l"), closePath() { path += "z"; }, beginPath() {}, arc() {} })(shape);
  return path;
}
// After the first of a row of lines the letter may go.
const merged = (path) => path.replace(/(?<=\d)l(-?)(?=[\d.])/g, (all, minus, at, text) => (/M[^lz]*$/.test(text.slice(0, at)) ? "l" + minus : minus || " "));
const land110 = read("land-110m"), countries110 = read("countries-110m");
const polygons = feature(land110, land110.objects.land).features.flatMap((one) => one.geometry.type === "Polygon" ? [one.geometry.coordinates] : one.geometry.coordinates);
const inhabited = polygons.filter((rings) => Math.max(...rings[0].map(([, lat]) => lat)) > -58);
const land = drawn({ type: "MultiPolygon", coordinates: inhabited });
const borders = drawn(mesh(countries110, countries110.objects.countries, (a, b) => a !== b));
const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 15 1000 400"><path class="land" d="${merged(land)}"/><path class="borders" d="${merged(borders)}"/></svg>\n`;
writeFileSync("world.svg", svg);
const countries50 = read("countries-50m");
const rows = [];
for (const one of feature(countries50, countries50.objects.countries).features) {
  const letters = iso.numericToAlpha2(one.id);
  if (!letters) { console.log("no code", one.id, one.properties.name); continue; }
  const parts = one.geometry.type === "Polygon" ? [one.geometry.coordinates] : one.geometry.coordinates;
  const largest = parts.map((coordinates) => ({ type: "Polygon", coordinates })).sort((a, b) => geoArea(b) - geoArea(a))[0];
  const [lon, lat] = geoCentroid(largest);
  if (rows.some((row) => row.startsWith(letters))) continue;
  rows.push(`${letters},${lat.toFixed(1)},${lon.toFixed(1)}`);
}
rows.sort();
writeFileSync("centroids.csv", "country,latitude,longitude\n" + rows.join("\n") + "\n");
console.log(svg.length, rows.length, [...new Set(rows.map((row) => row.slice(0, 2)))].length);
