const local = location.protocol === "https:" || /^(localhost|127\..*|\[::1\])$/.test(location.hostname);
for (const place of document.querySelectorAll(".url")) place.textContent = new URL("simple/", location.href);
for (const place of document.querySelectorAll(".trust")) place.textContent = local ? "" : " --trusted-host " + location.hostname;
const filter = document.querySelector("input");
const rows = [...document.querySelectorAll("tbody tr")].map(row => [row, row.textContent.toLowerCase()]);
const apply = () => {
  const words = filter.value.toLowerCase().split(/\s+/);
  for (const [row, text] of rows) row.hidden = !words.every(word => text.includes(word));
};
filter.hidden = false;
filter.addEventListener("input", apply);
apply();
