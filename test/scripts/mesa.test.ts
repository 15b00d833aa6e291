/** scripts/mesa/fetch.sh with made-up sources, and with programs that only pretend to fetch. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const BOOKWORM = 'ID=debian\nVERSION_CODENAME=bookworm\n';
const SOURCES = `Types: deb
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/x.gpg
`;

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'pentimento-mesa-'));
});
afterEach(() => rmSync(root, { recursive: true }));

function put(path: string, text: string, mode = 0o644): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text, { mode });
}

function fetch(...args: string[]) {
  const path = `${join(root, 'bin')}:${process.env.PATH}`;
  const env = { ...process.env, SETUP_ROOT: root, PENTIMENTO_CACHE: join(root, 'cache'), PATH: path };
  const { status, stdout, stderr } = spawnSync('sh', ['scripts/mesa/fetch.sh', ...args], { env, encoding: 'utf8' });
  return { status, lines: stdout.trim().split('\n'), stderr };
}

describe('where Mesa is fetched from', () => {
  it('is the mirror of this Debian, with its key', () => {
    put('etc/os-release', BOOKWORM);
    put('etc/apt/sources.list.d/debian.sources', SOURCES);
    const { status, lines } = fetch('--dry-run');
    expect(status).toBe(0);
    expect(lines.slice(0, 2)).toEqual([
      'deb [signed-by=/usr/share/keyrings/x.gpg] http://mirror.example/debian trixie main',
      'deb [signed-by=/usr/share/keyrings/x.gpg] http://mirror.example/debian trixie-backports main',
    ]);
    expect(lines[2]).toMatch(/^fetch .*mesa-vulkan-drivers\/trixie-backports/);
    expect(lines[3]).toBe(`into ${join(root, 'cache/mesa-trixie-1')}`);
    expect(existsSync(join(root, 'cache'))).toBe(false);
  });

  it.each([
    [
      ['--cards'],
      ['trixie main', 'trixie-backports main'],
      'mesa-vulkan-drivers/trixie-backports mesa-drm-shim/trixie-backports',
      'mesa-trixie-cards-1',
    ],
    [['--cards', '--sid'], ['sid main'], 'mesa-vulkan-drivers mesa-drm-shim', 'mesa-sid-cards-1'],
  ])('%j: drivers of cards, unstable ones only where they are asked for', (args, suites, packages, folder) => {
    put('etc/os-release', BOOKWORM);
    put('etc/apt/sources.list.d/debian.sources', SOURCES);
    expect(fetch(...args, '--dry-run').lines).toEqual([
      ...suites.map(suite => `deb [signed-by=/usr/share/keyrings/x.gpg] http://mirror.example/debian ${suite}`),
      `fetch libc6 libstdc++6 libvulkan1 ${packages}`,
      `into ${join(root, 'cache', folder)}`,
    ]);
  });

  it('is told of by known words only', () => {
    const { status, stderr } = fetch('--card');
    expect([status, stderr]).toEqual([
      2,
      "fetch.sh: unknown argument '--card'; it takes --cards, --sid and --dry-run\n",
    ]);
  });

  it.each([
    ['another system', 'ID=fedora\n', SOURCES, 'only fetched on Debian'],
    ['no mirror', BOOKWORM, '', 'apt has no mirror of Debian'],
  ])('%s: one line, and the tests go without', (_, release, sources, line) => {
    put('etc/os-release', release);
    put('etc/apt/sources.list.d/debian.sources', sources);
    const { status, lines, stderr } = fetch();
    expect([status, lines]).toEqual([3, ['']]);
    expect(stderr).toBe(`mesa: ${line}; the tests use this machine's own driver\n`);
  });
});

describe('fetching', () => {
  /** `apt-get install` leaves one package; dpkg-deb unpacks it to a file. */
  const APT = `#!/bin/sh
echo called >>"${'$'}SETUP_ROOT/calls"
for word in "$@"; do case $word in Dir::Cache=*) cache=\${word#*=} ;; install) touch "$cache/archives/mesa.deb" ;; esac; done
`;
  const DPKG = `#!/bin/sh
mkdir -p "$3/usr/lib" && touch "$3/usr/lib/libvulkan_lvp.so" "$3/usr/lib/libvulkan_radeon.so"
`;
  beforeEach(() => {
    put('etc/os-release', BOOKWORM);
    put('etc/apt/sources.list.d/debian.sources', SOURCES);
  });

  it('fills the folder once, without the drivers of cards, and leaves nothing else', () => {
    put('bin/apt-get', APT, 0o755);
    put('bin/dpkg-deb', DPKG, 0o755);
    const folder = join(root, 'cache/mesa-trixie-1');
    for (let time = 0; time < 2; time++) expect(fetch()).toEqual({ status: 0, lines: [folder], stderr: '' });
    expect(readdirSync(join(folder, 'usr/lib'))).toEqual(['libvulkan_lvp.so']);
    expect(readdirSync(join(root, 'cache'))).toEqual(['mesa-trixie-1']);
    expect(readFileSync(join(root, 'calls'), 'utf8')).toBe('called\ncalled\n'); // update and install, the first time
  });

  it('keeps the drivers of cards in a folder of their own', () => {
    put('bin/apt-get', APT, 0o755);
    put('bin/dpkg-deb', DPKG, 0o755);
    const folder = join(root, 'cache/mesa-trixie-cards-1');
    expect(fetch('--cards')).toEqual({ status: 0, lines: [folder], stderr: '' });
    expect(readdirSync(join(folder, 'usr/lib'))).toEqual(['libvulkan_lvp.so', 'libvulkan_radeon.so']);
  });

  it('says in one line that the mirror is out of reach, and leaves nothing', () => {
    put('bin/apt-get', '#!/bin/sh\necho "E: Could not resolve"\necho "E: more"\nexit 100\n', 0o755);
    const { status, lines, stderr } = fetch();
    expect([status, lines]).toEqual([3, ['']]);
    expect(stderr).toBe("mesa: cannot be fetched (E: Could not resolve); the tests use this machine's own driver\n");
    expect(readdirSync(join(root, 'cache'))).toEqual([]);
  });
});
