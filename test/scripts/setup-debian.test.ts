import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const BOOKWORM = 'ID=debian\nVERSION_CODENAME=bookworm\n';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'pentimento-debian-'));
});
afterEach(() => rmSync(root, { recursive: true }));

/** What the script would do on a machine that has these files. */
function dryRun(files: Record<string, string>, ...args: string[]) {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  const env = { ...process.env, SETUP_ROOT: root };
  const { status, stdout, stderr } = spawnSync('sh', ['scripts/setup-debian.sh', '--dry-run', ...args], {
    env,
    encoding: 'utf8',
  });
  return { status, lines: stdout.trim().split('\n'), stderr };
}

const deb822 = `# a mirror
Types: deb
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
`;
const install = 'apt-get install -y -qq --no-install-recommends';
const old = { 'candidate-mesa-vulkan-drivers': '22.3.6-1+deb12u1\n', 'etc/os-release': BOOKWORM };

describe('setup-debian.sh', () => {
  it('takes mirror and key from deb822 sources', () => {
    const { status, lines } = dryRun({ ...old, 'etc/apt/sources.list.d/debian.sources': deb822 });
    expect(status).toBe(0);
    expect(lines).toEqual([
      'write /etc/apt/sources.list.d/pentimento-backports.sources',
      'Types: deb',
      'URIs: http://mirror.example/debian',
      'Suites: bookworm-backports',
      'Components: main',
      'Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg',
      'apt-get update -qq',
      `${install} -t bookworm-backports mesa-vulkan-drivers libvulkan1`,
    ]);
  });

  it.each([
    [
      'deb [arch=amd64 signed-by=/usr/share/keyrings/x.gpg] https://one.example/debian bookworm main',
      'https://one.example/debian',
      '/usr/share/keyrings/x.gpg',
    ],
    [
      'deb [ signed-by=/usr/share/keyrings/x.gpg arch=amd64 ] https://one.example/debian bookworm main',
      'https://one.example/debian',
      '/usr/share/keyrings/x.gpg',
    ],
    [
      'deb-src https://src.example/debian bookworm main\ndeb cdrom:[Debian]/ bookworm main\ndeb http://plain.example/debian bookworm main contrib',
      'http://plain.example/debian',
      undefined,
    ],
  ])('takes mirror and key from one-line sources: %s', (text, uri, key) => {
    const { lines } = dryRun({ ...old, 'etc/apt/sources.list': `${text}\n` });
    expect(lines).toContain(`URIs: ${uri}`);
    expect(lines.find(line => line.startsWith('Signed-By'))).toBe(key && `Signed-By: ${key}`);
  });

  it('adds no second source where backports are there already', () => {
    const { lines } = dryRun({
      ...old,
      'etc/apt/sources.list':
        'deb http://m.example/debian bookworm main\ndeb http://m.example/debian bookworm-backports main\n',
    });
    expect(lines).toEqual(['apt-get update -qq', `${install} -t bookworm-backports mesa-vulkan-drivers libvulkan1`]);
  });

  it('passes over sources that are switched off', () => {
    const off = deb822.replace('Types: deb\n', 'Types: deb\nEnabled: no\n');
    const { lines } = dryRun({
      ...old,
      'etc/apt/sources.list.d/a.sources': off,
      'etc/apt/sources.list': 'deb http://other.example/debian bookworm main\n',
    });
    expect(lines).toContain('URIs: http://other.example/debian');
  });

  it('installs plainly where the release is new enough', () => {
    const { lines } = dryRun({
      'etc/os-release': 'ID=debian\nVERSION_CODENAME=trixie\n',
      'candidate-mesa-vulkan-drivers': '25.0.7-2\n',
    });
    expect(lines).toEqual(['apt-get update -qq', `${install} mesa-vulkan-drivers libvulkan1`]);
  });

  it('brings the browsers from their own suite when asked to', () => {
    const { lines } = dryRun({ ...old, 'etc/apt/sources.list.d/debian.sources': deb822 }, '--browser');
    expect(lines.slice(-3)).toEqual([
      `${install} -t bookworm-backports mesa-vulkan-drivers libvulkan1`,
      `${install} chromium`,
      `${install} firefox-esr`,
    ]);
  });

  it("takes Ubuntu's own Firefox", () => {
    const { lines } = dryRun({ 'etc/os-release': 'ID=ubuntu\nID_LIKE=debian\n' }, '--browser');
    expect(lines.at(-1)).toBe(`${install} firefox`);
  });

  it.each([
    ['ID=fedora', 'sudo dnf install mesa-vulkan-drivers vulkan-loader'],
    ['ID=manjaro\nID_LIKE=arch', 'sudo pacman -S vulkan-swrast vulkan-icd-loader'],
    ['ID=alpine', 'sudo apk add mesa-vulkan-swrast vulkan-loader'],
    ['ID=plan9', 'Install a Vulkan driver'],
  ])('elsewhere prints the line to type: %s', (release, advice) => {
    const { status, lines, stderr } = dryRun({ 'etc/os-release': `${release}\n` });
    expect(status).toBe(3);
    expect(lines).toEqual(['']);
    expect(stderr).toContain(advice);
  });

  it('refuses what it does not know', () => {
    const { status, stderr } = dryRun({}, '--all');
    expect(status).toBe(2);
    expect(stderr).toContain("unknown argument '--all'");
  });
});

describe('before it installs', () => {
  /** Runs the script for real, with programs that only write down how they were called. */
  function attempt(user: number, env: Record<string, string>) {
    const log = join(root, 'calls');
    const programs = {
      id: `echo ${user}`,
      sudo: `echo "sudo $*" >> ${log}`,
      'apt-get': `echo "apt-get $*" >> ${log}`,
    };
    for (const [name, line] of Object.entries(programs)) {
      mkdirSync(join(root, 'bin'), { recursive: true });
      writeFileSync(join(root, 'bin', name), `#!/bin/sh\n${line}\n`, { mode: 0o755 });
    }
    mkdirSync(join(root, 'etc'), { recursive: true });
    writeFileSync(join(root, 'etc/os-release'), 'ID=debian\nVERSION_CODENAME=trixie\n');
    writeFileSync(join(root, 'candidate-mesa-vulkan-drivers'), '25.0.7-2\n');
    const { CI: _, ...rest } = process.env;
    const { status, stderr } = spawnSync('sh', ['scripts/setup-debian.sh'], {
      env: { ...rest, SETUP_ROOT: root, PATH: `${join(root, 'bin')}:${process.env.PATH}`, ...env },
      encoding: 'utf8',
      input: '',
    });
    const calls = existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : [];
    return { status, stderr, calls };
  }

  it('root is not asked', () => {
    const { status, calls } = attempt(0, {});
    expect(status).toBe(0);
    expect(calls).toEqual(['apt-get update -qq', `${install} mesa-vulkan-drivers libvulkan1`]);
  });

  it('continuous integration is not asked, and gets sudo', () => {
    const { status, calls } = attempt(1000, { CI: 'true' });
    expect(status).toBe(0);
    expect(calls).toEqual(['sudo apt-get update -qq', `sudo ${install} mesa-vulkan-drivers libvulkan1`]);
  });

  it('anybody else is; where nobody can answer, the line to type is printed and nothing is done', () => {
    const { status, stderr, calls } = attempt(1000, {});
    expect(status).toBe(3);
    expect(stderr).toMatch(/will not install without asking\. Type: sudo sh scripts\/setup-debian\.sh/);
    expect(calls).toEqual([]);
  });

  it('installs Valkey for the tests of fleets where Debian has it, else Redis', () => {
    const files = { ...old, 'etc/apt/sources.list.d/debian.sources': deb822 };
    expect(dryRun(files, '--queue').lines.at(-1)).toBe(`${install} redis-server`);
    const newer = { ...files, 'candidate-valkey-server': '8.0.1+dfsg1-1~bpo12+1\n' };
    expect(dryRun(newer, '--queue').lines.at(-1)).toBe(`${install} valkey-server`);
    expect(dryRun(files).lines.join(' ')).not.toMatch(/valkey|redis/);
  });
});
