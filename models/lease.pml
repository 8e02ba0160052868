/* Leases of src/ipc/queue_lease.c: a producer puts messages and closes the queue, takers take them into entries and ack them or give
 * them back, until the queue has ended, one more joins; up to KILLS of the takers die, at any step. Sides, locks and the gate
 * are taken for what models/queue.pml and models/lock.pml show of them: a commit is one step, with its wake; a dead owner's
 * lock is free.
 *
 * An entry has a word (who holds it, and WAITERS), the number of the message in it, and the number that was acked last. Both are said by
 * a side's commit (`said`), and written into the entry by the next one who operates the side.
 *
 * Shown: each message is acked once; nobody has one that another has, or that was acked, or whose content is not whole; and when
 * nothing more happens, no taker sleeps beside a message that is to be had, or beside the end; no joiner when all is done.
 *
 * Each of these must be found:
 * APART        the number is written after the commit, and not said by it
 * NO_SETTLE    nobody writes out what the last commit said
 * ENTRY_ONLY   what an ack said is not looked at, only what was written out
 * ENTRY_FIRST  … is looked at after the entry, and not before
 * WORD_LAST    the word is read after the numbers
 * ACK_FIRST    it is acked before it is counted
 * EARLY        the commit comes before the content
 * NO_WATCH     a leader does not watch the words
 * NO_TAKES     … does not see that an entry was taken between its note and its look
 * LOOK_ONCE    who acks does not look again whether somebody is eager
 * UNINSURED    who leaves a word is not insured
 * END_EARLY    the end comes while leases are out */
#ifndef TAKERS
#define TAKERS 2
#endif
#ifndef MESSAGES
#define MESSAGES 2
#endif
#ifndef ENTRIES
#define ENTRIES 1
#endif
#ifndef KILLS
#define KILLS 1
#endif
#ifndef GIVES
#define GIVES 1 /* so often a message is given back */
#endif
#ifndef JOINERS
#define JOINERS 1
#endif
#define N (TAKERS + JOINERS)
#define ALL (1 << ENTRIES)

byte puts, puts_word; /* word: its commits, which closing is one of, too */
bool closed, puts_asleep;
byte get_owner, got, got_said; /* said: 1 + an entry */
byte done_owner, done, done_said, done_number;
bool done_asleep;
byte gate;
byte takes;
bool eager;
byte word[ENTRIES], number[ENTRIES], acked[ENTRIES], content[ENTRIES];
bool waiters[ENTRIES];
bool asleep[N + 1];   /* a taker, on the putting side and on the words … */
byte watching[N + 1]; /* … of these entries, and of the counter of takes */
byte insured[N + 1];  /* 1 + an entry */
bool has[MESSAGES + 1];
byte times_acked[MESSAGES + 1];
byte kills, budget, gives, living;

#define MAY_DIE :: atomic { kills < budget -> kills++; goto dead }
#define STEP(what) if :: atomic { what } MAY_DIE fi
#define MAX(a, b) ((a) > (b) -> (a) : (b))

inline wake_takers()
{
	asleep[1] = false;
#if TAKERS > 1
	asleep[2] = false;
#endif
#if TAKERS > 2
	asleep[3] = false;
#endif
	skip
}

inline wake_of(e)
{
	if
	:: asleep[1] && (watching[1] & (1 << (e))) -> asleep[1] = false
#if TAKERS > 1
	:: asleep[2] && (watching[2] & (1 << (e))) -> asleep[2] = false
#endif
#if TAKERS > 2
	:: asleep[3] && (watching[3] & (1 << (e))) -> asleep[3] = false
#endif
	:: else -> skip
	fi
}

inline settle_get()
{
#ifndef NO_SETTLE
	if
	:: got_said != 0 -> STEP(number[got_said - 1] = MAX(number[got_said - 1], got))
	:: else -> skip
	fi
#else
	skip
#endif
}

/* What is in entry e: held, and there (not acked). By who operates the getting side. */
inline look_at(e)
{
#ifndef WORD_LAST
	STEP(held = word[e] != 0);
#endif
#ifdef ENTRY_FIRST
	STEP(acks = acked[e]);
	STEP(acks = MAX(acks, (done_said == 1 + e -> done_number : 0)));
#else
#ifdef ENTRY_ONLY
	acks = 0;
#else
	STEP(acks = (done_said == 1 + e -> done_number : 0));
#endif
	STEP(acks = MAX(acks, acked[e]));
#endif
#ifdef WORD_LAST
	STEP(held = word[e] != 0);
#endif
	atomic {
		there = number[e] > acks;
		if
		:: there && held -> out = true
		:: there && !held && (orphan == ENTRIES || number[e] < number[orphan]) -> orphan = e
		:: !there && !held -> free = e
		:: else -> skip
		fi
	}
}

/* The entry's lock is ours. */
inline occupy(e)
{
	STEP(assert(word[e] == 0); word[e] = me);
	STEP(takes = (takes + 1) % 16)
}

/* One look: TOOK with `mine` and `message`, THE_END, or NOTHING. */
#define FORGET e = 0; orphan = 0; free = 0; out = false; more = false; end = false; held = false; there = false; acks = 0
#define NOTHING 0
#define TOOK 1
#define THE_END 2
inline take_once()
{
	result = NOTHING;
	if
	:: atomic { get_owner == 0 -> get_owner = me }
	MAY_DIE
	fi;
	settle_get();
	orphan = ENTRIES;
	free = ENTRIES;
	out = false;
	for (e : 0 .. ENTRIES - 1) {
		look_at(e);
	}
	if
	:: orphan < ENTRIES ->
		mine = orphan;
		occupy(mine);
		message = number[mine];
		result = TOOK
	:: else ->
		STEP(more = puts > got; end = closed);
		if
		:: more && free < ENTRIES ->
			mine = free;
			occupy(mine);
			message = got + 1;
#ifndef EARLY
			STEP(content[mine] = message);
#endif
#ifdef APART
			STEP(got++; got_said = 0);
			STEP(number[mine] = message);
#else
			STEP(got++; got_said = 1 + mine);
#endif
#ifdef EARLY
			STEP(content[mine] = message);
#endif
			result = TOOK
#ifdef END_EARLY
		:: !more && end -> result = THE_END
#else
		:: !more && end && !out -> result = THE_END
#endif
		:: else -> skip /* also: more, and no entry free */
		fi
	fi;
	if
	:: result == TOOK ->
		STEP(assert(!has[message] && times_acked[message] == 0 && content[mine] == message); has[message] = true)
	:: else -> skip
	fi;
	STEP(get_owner = 0; FORGET)
}

inline note()
{
	STEP(noted = puts_word);
	STEP(noted_takes = takes);
	free = 0;
	for (e : 0 .. ENTRIES - 1) {
		STEP(free = free + (word[e] == 0 -> 1 : 0))
	}
	STEP(eager = closed || free == 0; free = 0);
	noted_words = 0;
	for (e : 0 .. ENTRIES - 1) {
#ifdef NO_WATCH
		skip
#else
		STEP(if
		:: word[e] != 0 -> waiters[e] = true; noted_words = noted_words | (1 << e); seen[e] = word[e]
		:: else -> skip
		fi)
#endif
	}
	e = 0
}

#ifdef NO_TAKES
#define SAME_TAKES true
#else
#define SAME_TAKES takes == noted_takes
#endif
#define SAME(e) (!(noted_words & (1 << (e))) || (word[e] == seen[e] && waiters[e]))
#if ENTRIES > 1
#define SAME_WORDS (SAME(0) && SAME(1))
#else
#define SAME_WORDS SAME(0)
#endif
#if ENTRIES > 1
#define FORGET_SEEN seen[0] = 0; seen[1] = 0
#else
#define FORGET_SEEN seen[0] = 0
#endif

inline take()
{
	take_once();
	if
	:: result == NOTHING ->
endgate:	if
		:: atomic { gate == 0 -> gate = me }
		MAY_DIE
		fi;
		do
		:: true ->
			note();
			take_once();
			if
			:: result != NOTHING -> break
			:: else -> skip
			fi;
			STEP(if :: puts_word == noted -> puts_asleep = true :: else -> skip fi);
			if
			:: atomic { /* the kernel compares and queues */
				if
				:: puts_word == noted && puts_asleep && SAME_TAKES && SAME_WORDS ->
					asleep[me] = true;
					watching[me] = noted_words
				:: else -> skip
				fi
			}
			MAY_DIE
			fi;
endasleep:		if
			:: !asleep[me] -> skip
			MAY_DIE
			fi
		od;
		STEP(gate = 0; noted = 0; noted_takes = 0; noted_words = 0; FORGET_SEEN)
	:: else -> skip
	fi
}

/* Of an entry that is free from here on. */
inline leave()
{
#ifndef UNINSURED
	STEP(insured[me] = 1 + mine);
#endif
	STEP(unlisted = true);
	if
	:: atomic { !waiters[mine] -> word[mine] = 0 }
	:: waiters[mine] ->
		STEP(more = eager);
		if
		:: more -> STEP(word[mine] = 0; wake_of(mine)) /* the kernel's step, which keeps WAITERS */
		:: else ->
			STEP(word[mine] = 0);
#ifndef LOOK_ONCE
			STEP(more = eager);
			if
			:: more -> STEP(wake_of(mine))
			:: else -> skip
			fi
#else
			skip
#endif
		fi
	MAY_DIE
	fi;
	STEP(insured[me] = 0; unlisted = false)
}

inline ack()
{
	if
	:: atomic { done_owner == 0 -> done_owner = me }
	MAY_DIE
	fi;
#ifndef NO_SETTLE
	if
	:: done_said != 0 -> STEP(acked[done_said - 1] = MAX(acked[done_said - 1], done_number))
	:: else -> skip
	fi;
#endif
#ifdef ACK_FIRST
	STEP(acked[mine] = message);
#endif
	STEP(done++; done_said = 1 + mine; done_number = message; times_acked[message]++; has[message] = false;
	     if :: done == puts -> done_asleep = false :: else -> skip fi);
	STEP(done_owner = 0);
	leave()
}

inline give_back()
{
	STEP(has[message] = false; word[mine] = 0; if :: waiters[mine] -> wake_of(mine) :: else -> skip fi)
}

inline die_of(e)
{
	if
	:: word[e] == me && (!unlisted || insured[me] == 1 + e) ->
		word[e] = 0;
		if :: waiters[e] -> wake_of(e) :: else -> skip fi
	:: else ->
		if
		:: insured[me] == 1 + e && word[e] == 0 -> wake_of(e)
		:: else -> skip
		fi
	fi
}

proctype taker(byte me)
{
	byte e, mine, message, orphan, free, result, acks, noted, noted_takes, noted_words;
	byte seen[ENTRIES];
	bool held, there, out, more, end, unlisted;

	message = 0;
	do
	:: true ->
		take();
		if
		:: result == THE_END -> break
		:: else -> skip
		fi;
		if
		:: ack()
		:: atomic { gives < GIVES -> gives++ }; give_back()
		fi;
		message = 0;
		mine = 0;
		result = 0;
		more = false
	od;
	living--;
	goto over;
dead:
	atomic {
		living--;
		asleep[me] = false;
		if :: message != 0 && word[mine] == me -> has[message] = false :: else -> skip fi;
		if :: get_owner == me -> get_owner = 0 :: else -> skip fi;
		if :: done_owner == me -> done_owner = 0 :: else -> skip fi;
		if :: gate == me -> gate = 0 :: else -> skip fi;
		die_of(0);
#if ENTRIES > 1
		die_of(1);
#endif
		insured[me] = 0
	}
over:
	skip
}

proctype producer()
{
	byte n;

	for (n : 1 .. MESSAGES) {
		atomic { puts++; puts_word++; if :: puts_asleep -> puts_asleep = false; wake_takers() :: else -> skip fi }
	}
	atomic { closed = true; puts_word++; if :: puts_asleep -> puts_asleep = false; wake_takers() :: else -> skip fi }
}

proctype joiner()
{
	byte noted;

	do
	:: true ->
		noted = done;
		if
		:: done == puts -> break
		:: else -> skip
		fi;
		atomic { if :: done == noted -> done_asleep = true :: else -> skip fi };
endasleep:	!done_asleep
	od
}

/* When nothing more happens. Who sleeps for ever had still been killed with the deaths that are left: so each number by itself. */
proctype watcher()
{
	byte i, all, free_ones;
	bool one_sleeps;

	timeout ->
	atomic {
		for (i : 1 .. TAKERS) {
			one_sleeps = one_sleeps || asleep[i]
		}
		for (i : 1 .. MESSAGES) {
			assert(times_acked[i] <= 1);
			all = all + times_acked[i]
		}
		assert(all == done && puts == MESSAGES && closed);
		/* nobody has anything for ever, so that all who live come to the end, and all is acked */
		assert(!one_sleeps);
		assert(!(done_asleep && done == puts));
		assert(all == MESSAGES || kills >= TAKERS)
	}
}

init {
	atomic {
		select(budget : 0 .. KILLS);
		living = TAKERS;
		run taker(1);
#if TAKERS > 1
		run taker(2);
#endif
#if TAKERS > 2
		run taker(3);
#endif
		run producer();
#if JOINERS
		run joiner();
#endif
		run watcher()
	}
}
