// The start page: one EventSource for everything; the server's jobs are the only state.

const TEXT = {
  en: {
    switch: '中文', api: 'API', drop: 'Drop recordings here', choose: 'or click to choose audio and video files',
    empty: 'Nothing here yet.', live: 'live', lost: 'reconnecting …', sure: 'Delete this job, its text and its recording?',
    pending: 'waiting', processing: 'in work', paused: 'paused', completed: 'done', failed: 'failed', cancelled: 'cancelled',
    downloading_model: 'getting the model', loading_model: 'loading the model', decoding: 'reading the recording',
    transcribing: 'transcribing', finalizing: 'finishing',
    pause: 'Pause', resume: 'Resume', cancel: 'Cancel', retry: 'Retry', front: 'First', delete: 'Delete',
    left: 'left', times: '× real time', gaps: 'gaps', unreachable: 'The service does not answer.', sending: 'sending',
  },
  zh: {
    switch: 'English', api: 'API', drop: '把录音拖到这里', choose: '或点击选择音频、视频文件',
    empty: '还没有任务。', live: '实时', lost: '正在重新连接…', sure: '删除此任务及其文字和录音?',
    pending: '等待中', processing: '处理中', paused: '已暂停', completed: '已完成', failed: '失败', cancelled: '已取消',
    downloading_model: '正在下载模型', loading_model: '正在加载模型', decoding: '正在读取录音',
    transcribing: '正在转写', finalizing: '正在收尾',
    pause: '暂停', resume: '继续', cancel: '取消', retry: '重试', front: '优先', delete: '删除',
    left: '剩余', times: '倍速', gaps: '处缺失', unreachable: '服务没有响应。', sending: '上传中',
  },
};
const ACTIONS = {
  pending: ['front', 'pause', 'cancel'], processing: ['pause', 'cancel'], paused: ['resume', 'cancel'],
  completed: [], failed: ['retry'], cancelled: ['retry'],
};
const FORMATS = ['srt', 'vtt', 'txt', 'md', 'docx', 'ass', 'lrc', 'tsv', 'json'];

const $ = (id) => document.getElementById(id);
const jobs = new Map();      // id -> the job as the service shows it
const cards = new Map();     // id -> its <li>
let language = navigator.language.startsWith('zh') ? 'zh' : 'en';
let open = null;             // id of the job whose text is shown
let seq = 0;                 // the last change seen
let source = null;

const say = (key) => TEXT[language][key] ?? key;

function clock(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return parts.slice(parts[0] ? 0 : 1).map((part) => String(part).padStart(2, '0')).join(':');
}

function element(name, text, properties = {}) {
  const made = Object.assign(document.createElement(name), properties);
  made.textContent = text;
  return made;
}

async function ask(method, path) {
  $('notice').hidden = true;
  try {
    const answer = await fetch(path, { method });
    if (answer.ok) return answer.status === 204 ? null : await answer.json();
    complain(await answer.json());
  } catch {
    complain({ message: say('unreachable') });
  }
  return undefined;
}

function complain({ message, hint = '' }) {
  $('notice').textContent = `${message} ${hint}`;
  $('notice').hidden = false;
}

// -- jobs --------------------------------------------------------------------------------------------------------------

function facts(job) {
  if (job.error) return '';
  const said = [];
  if (job.status === 'processing') said.push(say(job.phase ?? 'processing'));
  if (job.duration_s != null) said.push(job.status === 'completed' ? clock(job.duration_s) : `${clock(job.position_s)} / ${clock(job.duration_s)}`);
  if (job.language) said.push(job.language);
  if (job.model) said.push(job.model);
  if (job.speed != null && job.status === 'processing') said.push(`${job.speed.toFixed(1)} ${say('times')}`);
  if (job.eta_s != null && job.status === 'processing') said.push(`${clock(job.eta_s)} ${say('left')}`);
  if (job.gaps.length) said.push(`${job.gaps.length} ${say('gaps')}`);
  if (job.status === 'completed' && job.message) said.push(job.message);  // no speech, cut off, damaged
  return said.join(' · ');
}

function show(job) {
  jobs.set(job.id, job);
  let card = cards.get(job.id);
  if (!card) {
    card = $('job').content.firstElementChild.cloneNode(true);
    card.querySelector('.name').onclick = () => toggle(job.id);
    cards.set(job.id, card);
    const older = [...$('jobs').children].find((other) => other.dataset.id < job.id);
    $('jobs').insertBefore(card, older ?? null);
    card.dataset.id = job.id;
  }
  const text = String(job.chunks_done > 0);
  const redraw = card.dataset.status !== job.status || card.dataset.language !== language || card.dataset.text !== text;
  card.dataset.status = job.status;
  card.dataset.text = text;
  card.dataset.language = language;
  card.querySelector('.name').textContent = job.name;
  card.querySelector('.status').textContent = `${say(job.status)} ${job.status === 'processing' ? `${Math.floor(job.progress * 100)} %` : ''}`;
  card.querySelector('.facts').textContent = facts(job);
  const bar = card.querySelector('progress');
  bar.hidden = !['processing', 'paused'].includes(job.status);
  bar.value = job.progress;
  const error = card.querySelector('.error');
  error.hidden = !job.error;
  error.textContent = job.error ? `${job.error.message} ${job.error.hint}` : '';
  if (redraw) actions(card.querySelector('.actions'), job);
  $('empty').hidden = jobs.size > 0;
}

function actions(place, job) {
  // What a request answers is not shown: the live link tells the same, in order, and may already be further.
  const buttons = ACTIONS[job.status].concat(job.gaps.length && job.status === 'completed' ? ['retry'] : []).map((verb) =>
    element('button', say(verb), { type: 'button', onclick: () => ask('POST', `api/jobs/${job.id}/${verb}`) }));
  const remove = element('button', say('delete'), { type: 'button', onclick: () => {
    if (confirm(say('sure'))) ask('DELETE', `api/jobs/${job.id}`);
  } });
  const links = job.chunks_done === 0 ? [] : FORMATS.map((format) =>
    element('a', format, { href: `api/jobs/${job.id}/export?format=${format}`, download: '' }));
  place.replaceChildren(...buttons, ...links, remove);
}

function forget(id) {
  jobs.delete(id);
  cards.get(id)?.remove();
  cards.delete(id);
  if (open === id) open = null;
  $('empty').hidden = jobs.size > 0;
}

// -- the text of the open job --------------------------------------------------------------------------------------------

async function toggle(id) {
  const before = open;
  open = null;
  if (before) fold(before, true);
  if (before === id) return;
  open = id;
  cards.get(id).querySelector('.text').replaceChildren();
  fold(id, false);
  const said = await ask('GET', `api/jobs/${id}/transcript`);
  said?.segments.forEach((segment) => add(id, segment));  // lines that came live meanwhile stay, and none comes twice
}

function fold(id, closed) {
  const card = cards.get(id);
  if (!card) return;
  card.querySelector('.text').hidden = closed;
  card.querySelector('.name').setAttribute('aria-expanded', String(!closed));
}

function add(id, segment) {
  if (open !== id) return;
  const place = cards.get(id).querySelector('.text');
  const key = segment.chunk * 1e6 + segment.index;
  const lines = [...place.children];
  let at = lines.length;
  while (at > 0 && Number(lines[at - 1].dataset.key) > key) at -= 1;
  if (at > 0 && Number(lines[at - 1].dataset.key) === key) return;
  const line = document.createElement('p');
  line.dataset.key = key;
  line.append(element('time', clock(segment.start)), element('span', segment.text.trim()));
  const below = place.scrollTop + place.clientHeight >= place.scrollHeight - 40;
  place.insertBefore(line, lines[at] ?? null);
  if (below) place.scrollTop = place.scrollHeight;
}

// -- the live link -------------------------------------------------------------------------------------------------------

async function start() {
  source?.close();
  let state;
  try {
    const answer = await fetch('api/state?limit=200');
    if (!answer.ok) throw new Error(answer.statusText);
    state = await answer.json();
  } catch {
    status('lost');
    setTimeout(start, 2000);
    return;
  }
  const known = new Set(state.jobs.jobs.map((job) => job.id));
  [...jobs.keys()].filter((id) => !known.has(id)).forEach(forget);
  state.jobs.jobs.forEach(show);
  $('empty').hidden = jobs.size > 0;
  seq = state.seq;
  listen();
}

function listen() {
  source = new EventSource(`api/events?since=${seq}`);
  const on = (kind, act) => source.addEventListener(kind, (event) => {
    if (event.lastEventId) seq = Number(event.lastEventId);
    act(JSON.parse(event.data));
  });
  on('hello', () => status('live'));
  on('update', show);
  on('segment', (said) => add(said.job_id, said.segment));
  on('deleted', ({ id }) => forget(id));
  on('reset', start);
  source.onerror = () => {
    status('lost');
    if (source.readyState === EventSource.CLOSED) setTimeout(start, 2000);  // the browser has given up: a proxy said no
  };
}

function status(key) {
  $('link').dataset.key = key;
  $('link').textContent = say(key);
}

// -- uploads -------------------------------------------------------------------------------------------------------------

function send(file) {
  const line = document.createElement('li');
  const bar = Object.assign(document.createElement('progress'), { max: 1, value: 0 });
  const request = new XMLHttpRequest();
  const stop = element('button', say('cancel'), { type: 'button', onclick: () => request.abort() });
  line.append(element('span', `${file.name} · ${say('sending')} `), stop, bar);
  $('uploads').append(line);
  request.upload.onprogress = (event) => { bar.value = event.loaded / event.total; };
  request.onload = () => {
    const answer = JSON.parse(request.responseText);
    if (request.status !== 202) complain({ ...answer, message: `${file.name}: ${answer.message}` });
  };
  request.onerror = () => complain({ message: `${file.name}: ${say('unreachable')}` });
  return new Promise((done) => {
    request.onloadend = () => { line.remove(); done(); };
    request.open('POST', `api/jobs?filename=${encodeURIComponent(file.name)}`);
    request.setRequestHeader('Content-Type', 'application/octet-stream');
    request.send(file);
  });
}

async function take(files) {
  $('notice').hidden = true;
  for (const file of files) await send(file);
}

$('files').onchange = (event) => { take([...event.target.files]); event.target.value = ''; };
document.addEventListener('dragover', (event) => { event.preventDefault(); $('drop').classList.add('over'); });
document.addEventListener('dragleave', (event) => { if (!event.relatedTarget) $('drop').classList.remove('over'); });
document.addEventListener('drop', (event) => {
  event.preventDefault();
  $('drop').classList.remove('over');
  take([...event.dataTransfer.files]);
});

// -- language ------------------------------------------------------------------------------------------------------------

function speak() {
  document.documentElement.lang = language === 'zh' ? 'zh-CN' : 'en';
  document.querySelectorAll('[data-text]').forEach((place) => { place.textContent = say(place.dataset.text); });
  $('language').textContent = say('switch');
  if ($('link').dataset.key) status($('link').dataset.key);
  jobs.forEach(show);
}
$('language').onclick = () => { language = language === 'zh' ? 'en' : 'zh'; speak(); };

speak();
start();
