/**
 * The key that the visitor gave: from the link's fragment, kept as long as the tab is open.
 * Must not know what the key opens.
 */

const NAME = "appliance.key";

/** Take the key out of the address, where it would stay in sight and in the history. */
export function takeKey(): string | undefined {
  const given = new URLSearchParams(location.hash.slice(1)).get("key");
  if (given !== null && given !== "") {
    keepKey(given);
    history.replaceState(null, "", location.pathname + location.search);
  }
  return sessionStorage.getItem(NAME) ?? undefined;
}

export function keepKey(key: string): void {
  sessionStorage.setItem(NAME, key);
}

export function forgetKey(): void {
  sessionStorage.removeItem(NAME);
}
