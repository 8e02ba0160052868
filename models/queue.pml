/* The queue of src/ipc/queue.c: producers put messages into a ring of CAP, consumers get them until it is closed, one more
 * closes it; up to KILLS of them die, at any step. The locks are taken for what models/lock.pml shows of them: a dead
 * owner's is free, and the next goes on.
 *
 * There are two sides, put (0) and get (1). Each has a lock, under which its state is changed by one commit; a gate,
 * which its leader holds who sleeps; and a word, commits and ASLEEP, on which the leader of the other side sleeps. The
 * leader sets ASLEEP under that side's lock.
 *
 * GRANTS       so many times, at whatever time, a side is biased to who leaves its lock. Each has a word of its own in each side,
 *              which says that it operates the side by its bias. What it stores there may lag behind what it loads next:
 *              a store buffer of one place, emptied by its next step, or by the fence of who takes the bias away.
 *
 * OBSERVERS    so many see, in the same way as a leader of those who get, but outside of the line, that there is something: the
 *              thread behind a descriptor, which a message or the end sets. A commit wakes all who sleep on the word.
 *
 * TORN         the other side is looked at in three steps, as it is, and not in one: more states, and as good
 * TIMED        the second of each kind waits to a timeout
 *
 * Shown: each message is taken once, in order; none that was committed is lost; and when nothing more happens, no
 * consumer sleeps while there is a message or the end, no producer while there is room or the end, and nobody at
 * all when the closer came through.
 *
 * APART        a commit first and the wake later, without insurance: must be found
 * FLAG         … with insurance, which wants a word that says ASLEEP and nothing else, so that a leader on its way to
 *              sleep does not see the commit of a killed one, and comes too late for the kernel's wake: must be found
 * LOOK_FIRST   the leader looks before it notes which commit it has seen: must be found
 * NO_GATE      all sleep on the word, and one is woken: must be found
 * EARLY        the commit comes before what it says is complete: must be found
 * CLEAR        a leader that goes takes ASLEEP away: must be found
 * UNLOCKED     a leader sets ASLEEP without the lock: must be found
 * ONE_STATE    a commit overwrites the state instead of turning to the other one: must be found
 * NO_FINISH    nobody finishes what a dead closer began: must be found
 * WAKE_ONE     a commit wakes one of those who sleep, beside an observer: must be found
 * PUT_FIRST    the closer tells those who get before those who put: must be found
 *
 * NO_FENCE     who takes a bias away has no fence: must be found
 * NO_WAIT      … does not wait for the word of the biased one: must be found
 * LOOK_ONCE    the biased one does not look at the bias after it has set its word: must be found
 * LEAVES_EARLY it clears its word before it commits: must be found
 * ASLEEP_TOO   a leader sets ASLEEP while the side is biased: must be found
 * QUIET        the biased one leaves without a look whether somebody waits for it: must be found
 * LOOK_BEFORE  … looks before its word is clear: must be found
 * UNINSURED    … is not insured when it leaves: must be found
 * HALF_DONE    who finds that a killed one had begun to take the bias thinks that it was done: must be found
 * ONE_SLOT     the words of a side are one: must be found */
#ifndef PRODUCERS
#define PRODUCERS 2
#endif
#ifndef CONSUMERS
#define CONSUMERS 2
#endif
#ifndef MESSAGES
#define MESSAGES 1 /* of each producer */
#endif
#ifndef CAP
#define CAP 1
#endif
#ifndef KILLS
#define KILLS 1
#endif
#ifndef CLOSERS
#define CLOSERS 1
#endif
#ifndef GRANTS
#define GRANTS 0
#endif
#ifndef OBSERVERS
#define OBSERVERS 0
#endif
#define N (PRODUCERS + CONSUMERS + CLOSERS + OBSERVERS)
#define PUT 0
#define GET 1
#define AT(side, count) ((side) * 2 + ((count) & 1))

byte owner[2], gate[2];
byte count[2];
bool asleep[2];
byte items[4]; /* by AT */
bool stop[4];  /* of put: closed; of get: about to be */
byte ring[CAP];
byte sleeps[N + 1]; /* 0: awake; else 1 + the side on whose word it sleeps, or IN_SLOT */
byte insured[N + 1];
byte takes[PRODUCERS * MESSAGES + 1];
byte put_order[PRODUCERS * MESSAGES + 1], put_n, got_n;
byte kills, budget;
#if GRANTS
byte grants;
byte bias[2];
bool revoke[2];
#ifdef ONE_SLOT
#define SLOT(side, who) (side)
#else
#define SLOT(side, who) ((side) * (N + 1) + (who))
#endif
byte slot[2 * (N + 1)]; /* who operates the side by its bias */
byte late[N + 1];	/* what is in the store buffer: 0, or 1 + the slot … */
bool late_in[N + 1];	/* … and whether it is set or cleared */
#define IN_SLOT(side, who) (3 + SLOT(side, who)) /* for sleeps[] */
#endif
byte confirmed; /* messages, to those who put them */
bool told, closer_is_through; /* of the end */

#define MAY_DIE :: atomic { kills < budget -> kills++; goto dead }
#define STEP(what) if :: atomic { what } MAY_DIE fi

inline wake(where)
{
	if
	:: sleeps[1] == (where) -> sleeps[1] = 0
#if N > 1
	:: sleeps[2] == (where) -> sleeps[2] = 0
#endif
#if N > 2
	:: sleeps[3] == (where) -> sleeps[3] = 0
#endif
#if N > 3
	:: sleeps[4] == (where) -> sleeps[4] = 0
#endif
	:: else -> skip
	fi
}

#define wake_one(side) wake(1 + side)

/* All of them: there are two at most, a leader and an observer. */
inline wake_all(side)
{
	wake_one(side);
#if OBSERVERS && !defined(WAKE_ONE)
	wake_one(side);
#endif
#if OBSERVERS > 1 && !defined(WAKE_ONE)
	wake_one(side);
#endif
	skip
}

#if GRANTS
/* What the store buffer has becomes true for all. */
inline drain(who)
{
	if
	:: late[who] != 0 -> slot[late[who] - 1] = (late_in[who] -> who : 0); late[who] = 0
	:: else -> skip
	fi
}

inline fence()
{
	drain(1);
#if N > 1
	drain(2);
#endif
#if N > 2
	drain(3);
#endif
#if N > 3
	drain(4);
#endif
	skip
}

#define IS_MINE(side) (bias[side] == me && !revoke[side])

/* Out of an operation by the bias. */
inline bias_leave(side)
{
#ifndef UNINSURED
	STEP(insured[me] = IN_SLOT(side, me));
#endif
#ifdef LOOK_BEFORE
	STEP(mine_still = IS_MINE(side));
	STEP(late[me] = 1 + SLOT(side, me); late_in[me] = false);
#else
	STEP(late[me] = 1 + SLOT(side, me); late_in[me] = false);
	STEP(mine_still = IS_MINE(side));
#endif
	STEP(drain(me));
#ifndef QUIET
	if
	:: !mine_still -> STEP(wake(IN_SLOT(side, me)))
	:: else -> skip
	fi;
#endif
	STEP(insured[me] = 0)
}

/* Under the lock: nobody is biased; or not `entered`, since it took too long. */
inline bias_end(side)
{
	if
	:: bias[side] != 0 ->
#ifdef HALF_DONE
		if
		:: !revoke[side] ->
#endif
		STEP(revoke[side] = true);
#ifndef NO_FENCE
		STEP(fence());
#endif
#ifndef NO_WAIT
		do
		:: true ->
			STEP(seen = slot[SLOT(side, bias[side])]);
			if
			:: seen == 0 -> break
			:: else -> skip
			fi;
			if
			:: atomic { /* the kernel compares and queues */
				if
				:: slot[SLOT(side, bias[side])] == seen -> sleeps[me] = IN_SLOT(side, bias[side])
				:: else -> skip
				fi
			}
			MAY_DIE
			fi;
			if
			:: sleeps[me] == 0 -> skip
			:: timed && sleeps[me] != 0 -> STEP(sleeps[me] = 0; entered = false); break
			MAY_DIE
			fi
		od;
#endif
#ifdef HALF_DONE
		:: else -> skip
		fi;
#endif
		if
		:: entered -> STEP(bias[side] = 0; revoke[side] = false)
		:: else -> STEP(owner[side] = 0)
		fi
	:: else -> skip
	fi
}
#endif

/* The lock, and nobody is biased. */
inline lock_side(side)
{
	entered = true;
	if
	:: atomic { owner[side] == 0 -> owner[side] = me }
	MAY_DIE
	fi;
#if GRANTS
	bias_end(side)
#else
	skip
#endif
}

/* By the lock or by the bias: the side is ours, if `entered`. */
inline enter(side)
{
#if GRANTS
	STEP(biased = IS_MINE(side));
	if
	:: biased ->
		STEP(late[me] = 1 + SLOT(side, me); late_in[me] = true);
#ifndef LOOK_ONCE
		STEP(biased = IS_MINE(side));
#endif
		STEP(drain(me));
		if
		:: !biased -> bias_leave(side)
		:: else -> entered = true
		fi
	:: else -> skip
	fi;
	if
	:: !biased -> lock_side(side)
	:: else -> skip
	fi
#else
	lock_side(side)
#endif
}

inline leave(side)
{
#if GRANTS
	if
#ifdef LEAVES_EARLY
	:: biased -> skip
#else
	:: biased -> bias_leave(side)
#endif
	:: else ->
		if
		:: STEP(if :: grants < GRANTS -> grants++; bias[side] = me :: else -> skip fi)
		:: skip
		fi;
		STEP(owner[side] = 0)
	fi
#else
	STEP(owner[side] = 0)
#endif
}

/* The one step that shows a change to all, with what a reader of this model wants to know of it. */
inline turn(side)
{
	count[side] = (count[side] + 1) % 64;
	if
	:: done && side == PUT -> put_n++; put_order[put_n] = message
	:: done && side == GET -> got_n++; takes[message]++; assert(takes[message] == 1 && put_order[got_n] == message)
	:: else -> skip
	fi
}

/* By who operates the side; `done`: with a message. */
inline commit(side)
{
#if defined(APART) || defined(FLAG)
	STEP(insured[me] = 1 + side);
	STEP(turn(side));
	if
	:: atomic {
		if
		:: asleep[side] -> asleep[side] = false; wake_one(side)
		:: else -> skip
		fi
	}
	MAY_DIE
	fi;
	STEP(insured[me] = 0)
#else
#ifdef LEAVES_EARLY
	if
	:: biased -> bias_leave(side)
	:: else -> skip
	fi;
#endif
	STEP(was_asleep = asleep[side]);
	if
	:: atomic {
		if
		:: was_asleep && asleep[side] -> /* the kernel's step: ASLEEP is 1, and adding 1 carries it into the count */
			turn(side);
			asleep[side] = false;
			wake_all(side)
		:: was_asleep && !asleep[side] -> asleep[side] = true; wake_all(side) /* what was added is taken for ASLEEP */
		:: else -> turn(side); asleep[side] = false /* a plain store */
		fi
	}
	MAY_DIE
	fi
#endif
}

#define WRITE_STATE(side) \
	items[AT(side, count[side] + 1)] = mine + done; \
	stop[AT(side, count[side] + 1)] = end || stop[AT(side, count[side])]

/* One look under the lock: `done`, or `end`, or neither. */
inline operate(side, other)
{
	enter(side);
	if
	:: entered ->
	mine = items[AT(side, count[side])];
#ifdef TORN
	do
	:: STEP(seen = count[other]);
		STEP(theirs = items[AT(other, seen)]; end = stop[AT(other, seen)]);
		if
		:: seen == count[other] -> break
		:: else -> skip
		fi
	od;
#else
	STEP(seen = count[other]; theirs = items[AT(other, seen)]; end = stop[AT(other, seen)]);
#endif
	done = (side == PUT -> mine - theirs < CAP : mine != theirs);
	if
	:: side == PUT && stop[AT(side, count[side])] -> end = true; done = false
	:: done -> end = false;
		if
		:: side == GET -> STEP(message = ring[mine % CAP])
#ifndef EARLY
		:: else -> STEP(ring[mine % CAP] = message)
#else
		:: else -> skip
#endif
		fi;
#ifdef ONE_STATE
		STEP(items[AT(side, count[side])] = mine + 1);
		STEP(items[AT(side, count[side] + 1)] = mine + 1);
#else
		STEP(WRITE_STATE(side));
#endif
		commit(side)
#ifdef EARLY
		;
		if
		:: side == PUT -> STEP(ring[mine % CAP] = message)
		:: else -> skip
		fi
#endif
#ifndef NO_FINISH
	:: side == PUT && !done && end -> STEP(WRITE_STATE(side)); commit(side)
#endif
	:: else -> skip
	fi;
	leave(side)
	:: else -> done = false; end = false
	fi
}

#ifdef FLAG
#define SAME true
#else
#define SAME count[other] == noted
#endif

/* `done` or `end` in the end, or neither: its time was over. */
inline transfer(side, other)
{
	operate(side, other);
	if
	:: !done && !end ->
#ifndef NO_GATE
endgate:	if
		:: atomic { gate[side] == 0 -> gate[side] = me }
		MAY_DIE
		fi;
#endif
		do
		:: true ->
#ifdef LOOK_FIRST
			operate(side, other);
			STEP(noted = count[other]);
#else
			STEP(noted = count[other]);
			operate(side, other);
#endif
			if
			:: done || end -> break
			:: else -> skip
			fi;
#ifdef UNLOCKED
			STEP(asleep[other] = true; moved = (count[other] != noted));
#else
#ifdef ASLEEP_TOO
			if
			:: atomic { owner[other] == 0 -> owner[other] = me }
			MAY_DIE
			fi;
#else
			lock_side(other);
			if
			:: !entered -> break
			:: else -> skip
			fi;
#endif
			STEP(moved = (count[other] != noted));
			if
			:: !moved -> STEP(asleep[other] = true)
			:: else -> skip
			fi;
			STEP(owner[other] = 0);
#endif
			if
			:: moved -> skip
			:: else ->
				if
				:: atomic { /* the kernel compares and queues */
					if
					:: SAME && asleep[other] -> sleeps[me] = 1 + other
					:: else -> skip
					fi
				}
				MAY_DIE
				fi;
endasleep:			if /* the watcher says whether it may */
				:: sleeps[me] == 0 -> skip
				:: timed && sleeps[me] != 0 -> STEP(sleeps[me] = 0); break
				MAY_DIE
				fi
			fi
		od;
#ifdef CLEAR
		STEP(asleep[other] = false);
#endif
		STEP(gate[side] = (gate[side] == me -> 0 : gate[side]))
	:: else -> skip
	fi
}

inline die()
{
	sleeps[me] = 0;
	if :: owner[PUT] == me -> owner[PUT] = 0 :: else -> skip fi;
	if :: owner[GET] == me -> owner[GET] = 0 :: else -> skip fi;
#if GRANTS
	drain(me);
	if
	:: slot[SLOT(PUT, me)] == me -> slot[SLOT(PUT, me)] = 0; wake(IN_SLOT(PUT, me))
	:: else -> skip
	fi;
	if
	:: slot[SLOT(GET, me)] == me -> slot[SLOT(GET, me)] = 0; wake(IN_SLOT(GET, me))
	:: else -> skip
	fi;
	if
	:: insured[me] > 1 + GET -> wake(insured[me])
	:: else -> skip
	fi;
#endif
	if :: gate[PUT] == me -> gate[PUT] = 0 :: else -> skip fi;
	if :: gate[GET] == me -> gate[GET] = 0 :: else -> skip fi;
#ifdef FLAG
	if
	:: insured[me] == 1 + PUT -> wake_one(PUT)
	:: insured[me] == 1 + GET -> wake_one(GET)
	:: else -> skip
	fi;
#endif
	insured[me] = 0
}

#define LOCALS byte seen, noted, mine, theirs, message, n; bool done, end, was_asleep, moved, entered, biased, mine_still

proctype producer(byte me; bool timed)
{
	LOCALS;

	for (n : 1 .. MESSAGES) {
		message = (me - 1) * MESSAGES + n;
		transfer(PUT, GET);
		if
		:: done -> confirmed++
		:: else -> told = told || end; break
		fi
	}
	goto over;
dead:
	atomic { die() };
over:
	skip
}

proctype consumer(byte me; bool timed)
{
	LOCALS;

	do
	:: true ->
		transfer(GET, PUT);
		if
		:: !done -> break
		:: else -> skip
		fi
	od;
	goto over;
dead:
	atomic { die() };
over:
	skip
}

/* Ends one side. */
inline shut(side)
{
	enter(side);
	mine = items[AT(side, count[side])];
	if
	:: !stop[AT(side, count[side])] -> STEP(WRITE_STATE(side)); commit(side)
	:: else -> skip
	fi;
	leave(side)
}

proctype closer(byte me; bool timed)
{
	LOCALS;

	done = false;
	end = true;
#ifdef PUT_FIRST
	shut(PUT);
	shut(GET);
#else
	shut(GET); /* this wakes who waits for room, and is the sign to finish what follows */
	shut(PUT);
#endif
	closer_is_through = true;
	goto over;
dead:
	atomic { die() };
over:
	skip
}

#if OBSERVERS
/* Notes, looks, sets ASLEEP, sleeps; once it has seen something the descriptor is set, and it is through. */
proctype observer(byte me; bool timed)
{
	LOCALS;

	do
	:: true ->
		STEP(noted = count[PUT]);
		STEP(mine = items[AT(GET, count[GET])]);
		STEP(theirs = items[AT(PUT, count[PUT])]; end = stop[AT(PUT, count[PUT])]);
		if
		:: mine != theirs || end -> break
		:: else -> skip
		fi;
		lock_side(PUT);
		if
		:: entered ->
			STEP(moved = (count[PUT] != noted));
			if
			:: !moved -> STEP(asleep[PUT] = true)
			:: else -> skip
			fi;
			STEP(owner[PUT] = 0);
			if
			:: moved -> skip
			:: else ->
				if
				:: atomic { /* the kernel compares and queues */
					if
					:: count[PUT] == noted && asleep[PUT] -> sleeps[me] = 1 + PUT
					:: else -> skip
					fi
				}
				MAY_DIE
				fi;
endasleep:			if
				:: sleeps[me] == 0 -> skip
				MAY_DIE
				fi
			fi
		:: else -> skip
		fi
	od;
	goto over;
dead:
	atomic { die() };
over:
	skip
}
#endif

#define NOW(what, side) what[AT(side, count[side])]

/* When nothing more happens. */
proctype watcher()
{
	byte i;

	timeout ->
	atomic {
		assert(NOW(items, PUT) == put_n && NOW(items, GET) == got_n && confirmed <= put_n);
		for (i : 1 .. N) {
			assert(sleeps[i] == 0 || !(closer_is_through || told));
			assert(sleeps[i] <= 1 + GET); /* nobody waits for ever for a biased one */
			assert(sleeps[i] != 1 + PUT || (NOW(items, PUT) == NOW(items, GET) && !NOW(stop, PUT)));
			assert(sleeps[i] != 1 + GET || (NOW(items, PUT) - NOW(items, GET) == CAP && !NOW(stop, GET) && !NOW(stop, PUT)))
		}
	}
}

init {
	bool timed;

	atomic {
		/* each number of deaths by itself: who sleeps for ever could else still be killed, and go on no more */
		select(budget : 0 .. KILLS);
#ifdef TIMED
		timed = true;
#endif
		run producer(1, false);
#if PRODUCERS > 1
		run producer(2, timed);
#endif
#if CONSUMERS
		run consumer(PRODUCERS + 1, false);
#endif
#if CONSUMERS > 1
		run consumer(PRODUCERS + 2, timed);
#endif
#if OBSERVERS
		run observer(PRODUCERS + CONSUMERS + 1, false);
#endif
#if OBSERVERS > 1
		run observer(PRODUCERS + CONSUMERS + 2, false);
#endif
#if CLOSERS
		run closer(N, false);
#endif
		run watcher()
	}
}
