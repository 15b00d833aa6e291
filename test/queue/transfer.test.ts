/** What a job may name, and how it arrives: rules, addresses, redirects, caps. */
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addressKind } from '../../src/queue/addresses.ts';
import { existsUri, fetchUri, putUri } from '../../src/queue/transfer.ts';
import { TransferError } from '../../src/queue/transfer-error.ts';
import { shownUri, UriRules } from '../../src/queue/uri-rules.ts';

let server: Server;
let base: string;
let connections = 0;
let root: string;
const received: { method: string | undefined; url: string | undefined; body: string; type: string | undefined }[] = [];

/** What the server answers, by path. */
const ANSWERS: Record<string, (response: ServerResponse) => void> = {
  '/picture': r => r.end('picture'),
  '/large': r => r.end(Buffer.alloc(3000)),
  '/told-large': r => r.writeHead(200, { 'content-length': 1e9 }).write('x'),
  '/cut': r => {
    r.writeHead(200, { 'content-length': 100 }).write('x');
    setTimeout(() => r.destroy(), 20);
  },
  '/silent': () => undefined,
  '/later': r => r.writeHead(503).end(),
  '/signed': r => r.writeHead(403).end(),
  '/to-picture': r => r.writeHead(302, { location: '/picture' }).end(),
  '/to-file': r => r.writeHead(302, { location: 'file:///etc/passwd' }).end(),
  '/to-metadata': r => r.writeHead(302, { location: 'http://169.254.169.254/latest' }).end(),
  '/to-other': r => r.writeHead(302, { location: 'http://elsewhere.example/' }).end(),
  '/loop': r => r.writeHead(302, { location: '/loop' }).end(),
  '/put': r => r.writeHead(200).end(),
};

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'pentimento-transfer-'));
  await mkdir(join(root, 'in'));
  await writeFile(join(root, 'in', 'a b.png'), 'picture');
  await writeFile(join(root, 'secret'), 'secret');
  await symlink(join(root, 'secret'), join(root, 'in', 'link'));
  await symlink(join(root, 'in', 'a b.png'), join(root, 'in', 'inner'));
  server = createServer((request, response) => {
    let body = '';
    request.on('data', part => {
      body += part;
    });
    request.on('end', () => {
      received.push({ method: request.method, url: request.url, body, type: request.headers['content-type'] });
      const answer = ANSWERS[(request.url ?? '').replace(/\?.*/, '')];
      if (answer) answer(response);
      else response.writeHead(404).end();
    });
  });
  server.on('connection', () => {
    connections++;
  });
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done));
  base = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
});
afterAll(async () => {
  server.closeAllConnections();
  await new Promise(done => server.close(done));
  await rm(root, { recursive: true });
});

const local = (more: object = {}) => new UriRules({ allow: [`${base}/`], privateAddresses: true, ...more });
const files = () => new UriRules({ allow: [pathToFileURL(join(root, 'in')).href] });
const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    error => error,
  );

describe('an address', () => {
  it.each([
    ['8.8.8.8', 'public'],
    ['2606:4700::1111', 'public'],
    ['127.0.0.1', 'private'],
    ['127.9.9.9', 'private'],
    ['0.0.0.0', 'private'],
    ['10.1.2.3', 'private'],
    ['172.16.0.1', 'private'],
    ['172.32.0.1', 'public'],
    ['192.168.1.1', 'private'],
    ['100.64.0.1', 'private'],
    ['224.0.0.1', 'private'],
    ['255.255.255.255', 'private'],
    ['::', 'private'],
    ['::1', 'private'],
    ['fc00::1', 'private'],
    ['ff02::1', 'private'],
    ['::ffff:127.0.0.1', 'private'],
    ['::ffff:7f00:1', 'private'],
    ['::ffff:8.8.8.8', 'public'],
    ['64:ff9b::10.0.0.1', 'private'],
    ['64:ff9b::8.8.8.8', 'public'],
    ['2002:7f00:1::', 'private'],
    ['169.254.169.254', 'link-local'],
    ['::ffff:169.254.169.254', 'link-local'],
    ['64:ff9b::a9fe:a9fe', 'link-local'],
    ['fe80::1', 'link-local'],
    ['fe80::1%eth0', 'link-local'],
    ['fd00:ec2::254', 'link-local'],
    ['100.100.100.200', 'link-local'],
    ['no address', 'link-local'],
  ])('%s is %s', (address, kind) => {
    expect(addressKind(address)).toBe(kind);
  });
});

describe('rules', () => {
  it('allow by scheme, host, port and whole segments of the path', () => {
    const rules = new UriRules({ allow: ['https://a.example/in/', 'https://*.b.example', 'file:///data/in'] });
    for (const uri of [
      'https://a.example/in/x.png',
      'https://c.b.example/any',
      'file:///data/in/x',
      'https://a.example/in/',
    ])
      expect(() => rules.check(uri), uri).not.toThrow();
    const refused = [
      ...[
        'http://a.example/in/x.png',
        'https://a.example:444/in/x.png',
        'https://a.example/inner',
        'https://a.example/in/../x',
      ],
      ...[
        'https://a.example/in/%2e%2e/x',
        'https://a.example/in/..%2fx',
        'https://a.example/in/..%5cx',
        'https://b.example/x',
      ],
      ...[
        'https://evilb.example/x',
        'file:///data/inner',
        'file:///data/in/../x',
        'file:///data/in/%2e%2e/x',
        'file://host/data/in/x',
      ],
      ...['ftp://a.example/in/x', 'data:,x', 'in/x.png', '', 'https://a.example@b.c/in/'],
    ];
    for (const uri of refused) expect(() => rules.check(uri), uri).toThrow(/^uri: /);
  });

  it('allow nothing by default, and refuse addresses in any spelling', () => {
    expect(() => new UriRules().check('https://a.example/')).toThrow('does not allow');
    const rules = new UriRules({ allow: ['http://127.0.0.1/', 'http://[::1]/', 'http://169.254.169.254/'] });
    for (const host of ['127.0.0.1', '0x7f.1', '2130706433', '0177.0.0.1', '[::1]', '[0:0:0:0:0:0:0:1]'])
      expect(() => rules.check(`http://${host}/x`), host).toThrow('an address of this machine');
    const open = new UriRules({ allow: ['http://127.0.0.1/', 'http://169.254.169.254/'], privateAddresses: true });
    expect(() => open.check('http://127.0.0.1/x')).not.toThrow();
    expect(() => open.check('http://169.254.169.254/latest')).toThrow('an address that no job may reach');
  });

  it('show no user, password or query', () => {
    expect(shownUri('https://user:pass@a.example/x.png?X-Amz-Signature=1#y')).toBe('https://a.example/x.png');
    const rules = new UriRules({ allow: ['https://b.example/'] });
    expect(() => rules.check('https://user:pass@a.example/x?sig=1')).toThrow(/^(?!.*(user|pass|sig))/);
    // Two slashes name a machine; no file of any folder could be read beside such a one.
    const twoSlashes = () => new UriRules({ allow: ['file://data/pictures/'] });
    if (process.platform !== 'win32') expect(twoSlashes).toThrow('Write file:///data/pictures/');
    expect(() => new UriRules({ allow: ['https://b.example/?x'] })).toThrow('no beginning of URIs');
  });
});

describe('a file', () => {
  it('is read below what is allowed, by links too where they stay there', async () => {
    const uri = (name: string) => pathToFileURL(join(root, 'in', name)).href;
    for (const name of ['a b.png', 'inner'])
      expect(Buffer.from(await fetchUri(uri(name), files())).toString()).toBe('picture');
    expect((await failure(fetchUri(uri('link'), files()))).problem).toBe('a link that leads out of what is allowed');
    expect((await failure(fetchUri(uri('none'), files()))).problem).toBe('no readable file');
    expect((await failure(fetchUri(uri(''), files()))).problem).toBe('not a file');
    expect((await failure(fetchUri('file:///etc/passwd', files()))).problem).toBe('the worker does not allow this URI');
    const small = new UriRules({ allow: [pathToFileURL(root).href], maxBytes: 3 });
    expect((await failure(fetchUri(uri('a b.png'), small))).problem).toBe('the file is too large');
  });
});

describe('an address that is fetched', () => {
  it('gives its bytes, behind redirects that are allowed', async () => {
    for (const path of ['/picture', '/to-picture'])
      expect(Buffer.from(await fetchUri(base + path, local())).toString()).toBe('picture');
  });

  it.each([
    ['/large', 'the file is too large', false],
    ['/told-large', 'the file is too large', false],
    ['/none', 'there is no such file', false],
    ['/signed', 'the server refuses', false],
    ['/to-file', 'a redirect that is not followed', false],
    ['/to-metadata', 'the worker does not allow this URI', false],
    ['/to-other', 'the worker does not allow this URI', false],
    ['/loop', 'too many redirects', false],
    ['/cut', 'the connection broke', true],
    ['/silent', 'the connection broke', true],
    ['/later', 'the server cannot now', true],
  ])('fails at %s: %s', async (path, problem, again) => {
    const error = await failure(fetchUri(`${base}${path}?key=secret`, local({ maxBytes: 2000, timeoutMs: 200 })));
    expect([error.problem, error instanceof TransferError]).toEqual([problem, again]);
    expect(error.message).not.toContain('secret');
  });

  it('is not connected to where a name leads to an address that may not be reached, whatever it led to before', async () => {
    const before = connections;
    const port = new URL(base).port;
    const rules = new UriRules({ allow: ['http://pictures.example/', `http://pictures.example:${port}/`] });
    for (const address of ['127.0.0.1', '169.254.169.254', '::ffff:127.0.0.1', '::1']) {
      const resolve = async () => [
        { address: '93.184.216.34', family: 4 },
        { address, family: address.includes(':') ? 6 : 4 },
      ];
      const error = await failure(fetchUri(`http://pictures.example:${port}/picture`, rules, { resolve }));
      expect(error.received).toBe(address);
    }
    for (const uri of ['http://169.254.169.254/latest', `${base}/picture`]) await failure(fetchUri(uri, rules));
    expect(connections).toBe(before);
  });

  it('is connected to at the address that was checked', async () => {
    const { port } = new URL(base);
    const rules = new UriRules({ allow: [`http://pictures.example:${port}/`], privateAddresses: true });
    let asked = 0;
    const resolve = async () => {
      asked++;
      return [{ address: '127.0.0.1', family: 4 }];
    };
    const bytes = await fetchUri(`http://pictures.example:${port}/picture`, rules, { resolve });
    expect([Buffer.from(bytes).toString(), asked]).toEqual(['picture', 1]);
  });

  it('sends nothing once the signal has fired', async () => {
    const signal = AbortSignal.abort('enough');
    const sent = putUri(`${base}/put`, Buffer.from('x'), 'text/plain', local(), { signal });
    await expect(sent).rejects.toBe('enough');
  });

  it('ends with the signal', async () => {
    const controller = new AbortController();
    const fetching = failure(fetchUri(`${base}/silent`, local(), { signal: controller.signal }));
    setTimeout(() => controller.abort('enough'), 20);
    expect(await fetching).toBe('enough');
  });
});

describe('an address that is sent to', () => {
  it('takes bytes by PUT, and says whether something is there', async () => {
    await putUri(`${base}/put?sig=1`, Buffer.from('result'), 'image/png', local());
    expect(received.at(-1)).toEqual({ method: 'PUT', url: '/put?sig=1', body: 'result', type: 'image/png' });
    expect([await existsUri(`${base}/picture`, local()), await existsUri(`${base}/none`, local())]).toEqual([
      true,
      false,
    ]);
    expect(
      (await failure(putUri('file:///tmp/x', Buffer.from(''), 'x', new UriRules({ allow: ['file:///tmp/'] })))).problem,
    ).toBe('not an address');
    expect((await failure(putUri(`${base}/to-picture`, Buffer.from(''), 'x', local()))).problem).toBe(
      'the server refuses',
    );
  });
});
