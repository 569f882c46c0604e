/**
 * Elements of the page, made and found. Text goes in as text only, whatever it holds.
 * Must not know what is shown.
 */

export function make(tag: keyof HTMLElementTagNameMap, className = "", text = ""): HTMLElement {
  const element = document.createElement(tag);
  if (className !== "") element.className = className;
  element.textContent = text;
  return element;
}

export function byId(id: string): HTMLElement {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`The page has no element #${id}`);
  return element;
}

/** Set what differs only, so that nothing flickers and a selection stays. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

export function row(...cells: readonly (readonly [className: string, text: string])[]): HTMLElement {
  const element = make("tr");
  element.append(...cells.map(([className, text]) => make("td", className, text)));
  return element;
}
