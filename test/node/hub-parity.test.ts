/** The same repository and the same environments as huggingface_hub had: scripts/golden/hub_cache.py. */
import { readFileSync } from 'node:fs';
import { mkdtemp, readdir, readFile, readlink, rm } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { fetchModel } from '../../src/node/hub.ts';
import { hubSettings } from '../../src/node/hub-settings.ts';
import { fakeHub, HUB_VARIABLES } from '../support/hub.ts';

const layout = JSON.parse(readFileSync(new URL('../golden/hub/layout.json', import.meta.url), 'utf8')) as {
  readonly commit: string;
  readonly files: Record<string, string>;
  readonly tree: unknown;
  readonly environments: readonly {
    readonly environment: Readonly<Record<string, string>>;
    readonly said: { readonly cacheDir: string };
  }[];
};

beforeEach(() => {
  for (const name of [...HUB_VARIABLES, 'WHERE']) vi.stubEnv(name, undefined);
  vi.stubEnv('HF_TOKEN_PATH', '/nowhere/token'); // that of this machine's user is none of theirs
});
afterEach(() => vi.unstubAllEnvs());

it('a repository is laid out as huggingface_hub lays it out, link by link', async () => {
  const hub = await fakeHub('owner/name');
  const cacheDir = await mkdtemp(join(tmpdir(), 'pentimento-hub-'));
  try {
    [hub.files, hub.commit] = [layout.files, layout.commit];
    for (const revision of ['main', 'v1.0', 'refs/pr/1', layout.commit])
      await fetchModel('owner/name', { revision, cacheDir, hubUrl: hub.url });
    const tree: Record<string, { link: string } | { text: string }> = {};
    for (const entry of await readdir(cacheDir, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath ?? entry.path, entry.name);
      const name = path.slice(cacheDir.length + 1);
      if (entry.isSymbolicLink()) tree[name] = { link: await readlink(path) };
      else if (entry.isFile()) tree[name] = { text: await readFile(path, 'utf8') };
    }
    expect(tree).toEqual(layout.tree);
  } finally {
    hub.close();
    await rm(cacheDir, { recursive: true });
  }
});

it.each(layout.environments)('$environment says what it says to huggingface_hub', async ({ environment, said }) => {
  for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value);
  const { endpoint, cacheDir, offline, answerMs, silenceMs, token } = await hubSettings({}, () => undefined);
  expect({
    ...{ endpoint, cacheDir, offline: offline !== undefined, answerMs, silenceMs },
    token: token === undefined ? null : `Bearer ${token.value}`,
  }).toEqual({ ...said, cacheDir: said.cacheDir.replace('/home/someone', homedir()) });
});
