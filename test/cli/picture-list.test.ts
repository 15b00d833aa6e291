/** Which pictures names on the command line stand for. */
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { inputName, listPictures, nameOfSource, namesSeveral } from '../../src/cli/picture-list.ts';
import { encodePng } from '../../src/node/images.ts';
import { pentimento } from '../support/command.ts';
import { stubRun } from '../support/stub-run.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'pentimento-list-'));
});
afterEach(async () => {
  vi.restoreAllMocks();
  await rm(root, { recursive: true });
});
const at = (...names: string[]) => join(root, ...names);

async function files(...names: string[]) {
  for (const name of names) {
    await mkdir(dirname(at(name)), { recursive: true });
    await writeFile(at(name), 'x');
  }
}
const list = async (...names: string[]) =>
  (await listPictures(names, at('edited'))).map(({ source, name }) => [source.replace(`${root}/`, ''), name]);

describe('pictures', () => {
  it('of a folder are all kinds that are read, in the order in which people count, without what is hidden', async () => {
    await files('p/x10.png', 'p/x9.JPG', 'p/a/b.webp', 'p/a/c.txt', 'p/.h/d.png', 'p/.e.png', 'p/f.tar.png');
    expect(await list(at('p'))).toEqual([
      ...[
        ['p/a/b.webp', 'a/b.webp'],
        ['p/f.tar.png', 'f.tar.png'],
        ['p/x9.JPG', 'x9.JPG'],
        ['p/x10.png', 'x10.png'],
      ],
    ]);
  });

  it('of patterns keep their place below what is no pattern, and each counts once', async () => {
    await files('p/a/x.png', 'p/b/x.png', 'p/b/[1].png', 'p/edited/y.png');
    expect(await list(at('p/*/x.png'))).toEqual([
      ['p/a/x.png', 'a/x.png'],
      ['p/b/x.png', 'b/x.png'],
    ]);
    // A file of this name is no pattern.
    expect(await list(at('p/b/[1].png'), at('p/b'))).toEqual([
      ['p/b/[1].png', '[1].png'],
      ['p/b/x.png', 'x.png'],
    ]);
    expect(await list(at('p/{a,b}/x.png'), `${root}/p/../p/a/x.png`)).toHaveLength(2);
  });

  it('leave the folder of the results out, wherever it lies below', async () => {
    await files('a.png', 'edited/a.png', 'edited/b/c.png', 'edited2/d.png');
    expect(await list(root)).toEqual(
      [
        ['a.png', 'a.png'],
        ['edited2/d.png', 'edited2/d.png'],
      ].map(([s, n]) => [s, n]),
    );
    expect(await list(at('**/*.png'))).toHaveLength(2);
  });

  it('behind links are found, and a circle of links ends', async () => {
    await files('p/a.png');
    await symlink('a.png', at('p/b.png'));
    await symlink('.', at('p/c'));
    const found = await list(at('p'));
    expect(found.map(([, name]) => name)).toEqual(expect.arrayContaining(['a.png', 'b.png']));
    expect(found.length).toBeLessThan(5);
  });

  it('may be file URLs and addresses, whose names are safe', async () => {
    await files('a b.png');
    const { href } = pathToFileURL(at('a b.png'));
    expect(await list(href)).toEqual([['a b.png', 'a b.png']]);
    expect(namesSeveral('https://h.example/*.png')).toBe(false);
    expect(await list('https://h.example/x/..%2f%2e%2e%5cy.png?a=1')).toEqual([
      ['https://h.example/x/..%2f%2e%2e%5cy.png?a=1', '.._.._y.png'],
    ]);
    expect(['https://h.example', 'https://h.example/%ff.png', 'data:image/png;base64,xx'].map(nameOfSource)).toEqual([
      ...['h.example', '%ff.png', 'picture'],
    ]);
    expect([inputName(at('in/a.png'), at('out')), inputName(href, root), inputName('http://h/a', root)]).toEqual([
      ...['../in/a.png', 'a b.png', 'http://h/a'],
    ]);
  });
});

it('a picture of an address is fetched once, and named after it', async () => {
  const run = stubRun();
  const fetched: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    fetched.push(request.url);
    if (request.url === '/a%20b.png')
      response.end(encodePng({ width: 64, height: 64, data: new Uint8Array(3 * 4096) }));
    else response.writeHead(404).end();
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  try {
    const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const prompts = ['--source', 'a', '--target', 'b', '--size', '64x64', '-o', at('out')];
    const { code, stdout } = await pentimento(['edit', `${base}/a%20b.png`, `${base}/no.png`, ...prompts]);
    expect([code, run.mock.calls.length]).toEqual([3, 1]);
    expect(fetched).toEqual(['/a%20b.png', '/no.png']);
    expect(stdout.split('\n')[0]).toBe(at('out', 'a b.png'));
  } finally {
    server.closeAllConnections();
    server.close();
  }
});
