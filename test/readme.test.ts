/** The documents keep their promises: blocks run, commands exist, links lead somewhere. */
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { createProgram } from '../src/cli/program.ts';
import { readImage } from '../src/node/images.ts';
import { blocks, replaced } from './support/documents.ts';
import { RUNTIME_VERSIONS } from './support/runtimes.ts';

const README = readFileSync('README.md', 'utf8');
const documents = [
  'README.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  'models/orchard/README.md',
  ...readdirSync('docs', { recursive: true, encoding: 'utf8' })
    .filter(n => n.endsWith('.md'))
    .map(n => join('docs', n)),
];
const { scripts } = JSON.parse(readFileSync('package.json', 'utf8'));

describe('README', () => {
  it('shows claim, picture, commands and an example on its first page', () => {
    const first = README.split('\n').slice(0, 60).join('\n');
    expect(first).toMatch(/!\[.*\]\(docs\/images\/edits\.png\)/);
    expect(first).toContain('npm run demo');
    expect(first).toContain('npm test');
    expect(blocks(first, 'ts')).toHaveLength(1);
    expect(blocks(first, 'ts')[0].trim().split('\n').length).toBeLessThanOrEqual(14);
  });

  it('has an example that runs against the built package', async () => {
    const [code] = blocks(README, 'ts');
    // In a folder of the package, so that its own name leads to it; fewer steps, another place for the picture.
    await mkdir('out/readme', { recursive: true });
    const quick = replaced(code, {
      'seed: 0': 'seed: 0, numInferenceSteps: 4, numMapsPerMask: 1',
      "'pears.png'": "'out/readme/pears.png'",
    });
    await writeFile('out/readme/example.ts', quick);
    await promisify(execFile)(process.execPath, [
      '--import',
      './test/support/run-typescript.mjs',
      'out/readme/example.ts',
    ]);
    const picture = await readImage('out/readme/pears.png');
    expect([picture.width, picture.height]).toEqual([128, 128]);
    await rm('out/readme', { recursive: true });
  });

  const outside = { stdout: process.stdout, stderr: process.stderr, signal: new AbortController().signal };
  const { commands } = createProgram(outside);

  it('names every command, and no other', () => {
    const names = commands.map(c => c.name());
    for (const name of names) expect(README).toMatch(new RegExp(`\`${name}\`|npx pentimento ${name}\\b`));
    const used = [...README.matchAll(/npx pentimento (\w+)/g)].map(m => m[1]);
    expect(used.filter(name => !names.includes(name))).toEqual([]);
  });

  it('says what runs where of what tests have run, by version', () => {
    const [, table] = README.split('## What runs where');
    const rows = table
      .split('\n## ')[0]
      .split('\n')
      .filter(line => line.startsWith('| '));
    const tests = rows.flatMap(row => row.match(/(?<=`)test\/[\w./-]+/g) ?? []);
    expect(tests.length).toBeGreaterThan(5);
    expect(tests.filter(path => !existsSync(path))).toEqual([]);
    // Chromium and Firefox are as new as the system that runs the tests; these are fetched as written down.
    for (const [name, version] of Object.entries(RUNTIME_VERSIONS)) {
      const [minor] = /^\d+\.\d+/.exec(version) ?? [];
      expect(table).toMatch(new RegExp(`\\b${name}\`? ${minor}\\b`, 'i'));
    }
    for (const name of ['Node', 'Chromium', 'Firefox ESR']) expect(table).toMatch(new RegExp(`\\| ${name} \\d+`));
  });

  it('names options that the command has', () => {
    const known = new Set(commands.flatMap(c => c.options.flatMap(o => o.flags.match(/--[a-z-]+/g) ?? [])));
    const named = [...README.matchAll(/(?<=[\s`])--[a-z][a-z-]+/g)].map(m => m[0]);
    const others = ['--peer', '--enable-unsafe-webgpu', '--help'];
    expect(named.length).toBeGreaterThan(8);
    expect(named.filter(option => !known.has(option) && !others.includes(option))).toEqual([]);
  });
});

describe.each(documents)('%s', path => {
  const text = readFileSync(path, 'utf8');

  it('links to files that are there', () => {
    const links = [...text.matchAll(/\]\((?!https?:|#)([^)#\s]+)/g)].map(m => m[1]);
    expect(links.filter(link => !existsSync(join(dirname(path), link)))).toEqual([]);
  });

  it('names npm scripts that there are', () => {
    const named = [...text.matchAll(/npm run (?:--silent )?([\w:-]+)/g)].map(m => m[1]);
    expect(named.filter(name => !(name in scripts))).toEqual([]);
  });
});
