/**
 * The page may ask its own origin, and the Hub where the model comes from there. The policy in index.html allows both; one more narrows it
 * to what this visit needs, and a policy cannot be widened again: another model is another visit.
 */

/** The repository of the Hub that this visit is about; undefined for the embedded model. */
export function askedRepository(): string | undefined {
  return new URL(location.href).searchParams.get('model') ?? undefined;
}

/** Takes the Hub away where nothing comes from there. To be called before anything is fetched. */
export function narrowPolicy(): void {
  if (askedRepository() !== undefined) return;
  const meta = document.createElement('meta');
  meta.httpEquiv = 'Content-Security-Policy';
  meta.content = "connect-src 'self' blob:";
  document.head.append(meta);
}

/** Visits the page for another model. */
export function visit(repository: string | undefined): void {
  const address = new URL(location.href);
  address.search = '';
  if (repository !== undefined) address.searchParams.set('model', repository);
  location.assign(address);
}
