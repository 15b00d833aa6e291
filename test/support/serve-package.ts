import { join } from 'node:path';
import { serve } from './page.ts';
import { installTarball, ROOT } from './tarball.ts';

/** The packed package as /dist/ and the embedded models as /models/ of a server, beside other folders; `close` removes the package too. */
export async function servePackage(
  folders: Readonly<Record<string, string>>,
): Promise<{ readonly url: string; readonly close: () => void }> {
  const installed = installTarball();
  const dist = join(installed.project, 'node_modules/pentimento/dist');
  const server = await serve({ '/dist/': dist, '/models/': join(ROOT, 'models'), ...folders });
  const close = (): void => {
    server.close();
    installed.remove();
  };
  return { url: server.url, close };
}
