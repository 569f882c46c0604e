/** Has the console write JSON, a line for each call: its name, and what it was given. Stands before an example. */

for (const name of ["log", "warn", "error"]) {
  const write = console[name].bind(console);
  console[name] = (...words) => write(JSON.stringify([name, ...words]));
}
