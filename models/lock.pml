/* The lock of src/sync/lock.c: N threads take it ROUNDS times each, and up to KILLS of them die, at any step.
 *
 * One word (owner, WAITERS, DIED), the kernel's queue of sleepers, its robust list and its note of what a thread is at.
 * Shown: no two are inside; in the end nobody sleeps (that would be an invalid end state).
 *
 * DROP_WAITERS   who takes the lock forgets WAITERS: must be found
 * NO_INSURANCE   the kernel has no note: must be found
 * TWO_STEPS      a release changes the word and wakes later: with the insurance this is good, without it must be found
 *
 * PLAIN: a release by plain stores, which the processor keeps back until it must show them, or likes to: first that the turn is even (of the
 * owner that came), then that it is odd, then the word that is free. Only one thread at a time has any, since whoever takes the word has
 * seen the one before let go of all of them.
 *
 * NO_FENCE       who goes to sleep does not have the owner show its stores: must be found
 * NO_TURN        it does not compare the turn: must be found
 * EARLY_TURN     it does so before it queues: must be found
 * ONE_TURN       all turns are alike, there is only "odd" and "even": must be found */
#ifndef N
#define N 3
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif
#ifndef FIRST
#define FIRST ROUNDS /* those of the first thread */
#endif
#ifndef KILLS
#define KILLS 2
#endif

byte owner;          /* 0: free */
bool waiters, died;
bool asleep[N + 1], listed[N + 1], insured[N + 1];
byte inside, kills, budget;

byte turn = 1;
bool to_even, to_odd, to_free; /* stores that do not show yet, in this order */

inline drain_even()
{
#ifdef ONE_TURN
	turn = 0;
#else
	turn = (turn | 1) + 1;
#endif
	to_even = false
}

/* All that the owner has stored; without effect if it has not. */
inline drain()
{
	if
	:: to_even -> drain_even()
	:: else -> skip
	fi;
	if
	:: to_odd -> turn = turn | 1; to_odd = false
	:: else -> skip
	fi;
	if
	:: to_free -> owner = 0; waiters = false; died = false; to_free = false
	:: else -> skip
	fi
}

#ifdef PLAIN
active proctype memory()
{
end:	do
	:: atomic { to_even -> drain_even() }
	:: atomic { !to_even && to_odd -> turn = turn | 1; to_odd = false }
	:: atomic { !to_even && !to_odd && to_free -> owner = 0; waiters = false; died = false; to_free = false }
	od
}
#endif

#define MAY_DIE :: atomic { kills < budget -> kills++; goto dead }

/* One of the sleepers, whichever; nobody, if none sleeps. */
inline wake_one()
{
	if
	:: asleep[1] -> asleep[1] = false
	:: asleep[2] -> asleep[2] = false
#if N > 2
	:: asleep[3] -> asleep[3] = false
#endif
#if N > 3
	:: asleep[4] -> asleep[4] = false
#endif
	:: else -> skip
	fi
}

inline wake_all()
{
	asleep[1] = false;
	asleep[2] = false;
#if N > 2
	asleep[3] = false;
#endif
#if N > 3
	asleep[4] = false;
#endif
}

proctype thread(byte me)
{
	byte round, seen_owner, seen_turn;
	bool seen_waiters, seen_died;

	do
	:: round == (me == 1 -> FIRST : ROUNDS) -> break
	:: round < (me == 1 -> FIRST : ROUNDS) ->
		round++;
		if
		:: insured[me] = true
		MAY_DIE
		fi;
#ifdef PLAIN
		if
		:: atomic { drain() } /* the first try is a compare and swap */
		MAY_DIE
		fi;
#endif
look:
#ifdef PLAIN
		if
		:: seen_turn = turn
		MAY_DIE
		fi;
#endif
		if
		:: atomic { seen_owner = owner; seen_waiters = waiters; seen_died = died }
		MAY_DIE
		fi;
		if
		:: seen_owner == 0 ->
			if
			:: atomic { /* compare and swap */
				if
				:: owner == 0 && waiters == seen_waiters && died == seen_died ->
					owner = me;
					died = false;
#ifdef DROP_WAITERS
					waiters = false;
#endif
				:: else -> goto look
				fi
			}
			MAY_DIE
			fi;
			goto taken
		:: else -> skip
		fi;
		if
		:: seen_waiters -> skip
		:: !seen_waiters ->
			if
			:: atomic {
				if
				:: owner == seen_owner && !waiters && died == seen_died -> waiters = true
				:: else -> goto look
				fi
			}
			MAY_DIE
			fi
		fi;
#ifdef PLAIN
#ifndef NO_FENCE
		if
		:: atomic { drain() }
		MAY_DIE
		fi;
#endif
#endif
#ifdef EARLY_TURN
		if
		:: turn == seen_turn && turn % 2 == 0
		:: else -> goto look
		MAY_DIE
		fi;
#endif
		if
		:: atomic { /* the kernel compares and queues */
			if
			:: owner == seen_owner && waiters && died == seen_died -> asleep[me] = true
			:: else -> goto look
			fi
		}
		MAY_DIE
		fi;
#if defined(PLAIN) && !defined(NO_TURN) && !defined(EARLY_TURN)
		if
		:: atomic { /* … and compares the second word, when it has queued at the first */
			if
			:: turn == seen_turn && turn % 2 == 0 -> skip
			:: else -> asleep[me] = false; goto look /* odd: sleeps, but not for long */
			fi
		}
		MAY_DIE
		fi;
#endif
		if
		:: !asleep[me] -> skip
		MAY_DIE
		fi;
		goto look;
taken:
#ifdef PLAIN
		if
		:: to_even = true
		MAY_DIE
		fi;
#endif
		if
		:: listed[me] = true
		MAY_DIE
		fi;
		if
		:: insured[me] = false
		MAY_DIE
		fi;
		atomic { assert(inside == 0); inside = me };
		if
		:: inside = 0
		MAY_DIE
		fi;
		if
		:: insured[me] = true
		MAY_DIE
		fi;
		if
		:: listed[me] = false
		MAY_DIE
		fi;
#ifdef PLAIN
		if
		:: to_odd = true
		MAY_DIE
		fi;
		if
		:: seen_waiters = waiters
		MAY_DIE
		fi;
		if
		:: !seen_waiters ->
			if
			:: to_free = true
			MAY_DIE
			fi;
			goto left
		:: else -> skip
		fi;
#endif
#ifdef TWO_STEPS
		if
		:: atomic { seen_waiters = waiters; owner = 0 }
		MAY_DIE
		fi;
		if
		:: atomic {
			if
			:: seen_waiters -> wake_one()
			:: else -> skip
			fi
		}
		MAY_DIE
		fi;
#else
		if
		:: atomic {
			drain();
			owner = 0;
			if
			:: waiters -> wake_one()
			:: waiters -> waiters = false; wake_all()
			:: else -> skip
			fi
		}
		MAY_DIE
		fi;
#endif
left:
		if
		:: insured[me] = false
		MAY_DIE
		fi
	od;
	goto over;
dead:
	atomic { /* the kernel: out of the queue, then the list, then the note */
		asleep[me] = false;
		if
		:: to_even || to_odd || to_free -> drain()
		:: else -> skip
		fi;
		if
		:: inside == me -> inside = 0
		:: else -> skip
		fi;
		if
		:: listed[me] && owner == me ->
			owner = 0;
			died = true;
			if
			:: waiters -> wake_one()
			:: else -> skip
			fi
#ifndef NO_INSURANCE
		:: else ->
			if
			:: insured[me] && owner == 0 -> wake_one()
			:: insured[me] && owner == me ->
				owner = 0;
				died = true;
				if
				:: waiters -> wake_one()
				:: else -> skip
				fi
			:: else -> skip
			fi
#else
		:: else -> skip
#endif
		fi;
		listed[me] = false;
		insured[me] = false
	};
over:
	skip
}

init {
	atomic {
		/* each number of deaths by itself: who sleeps for ever could else still be killed, and go on no more */
		select(budget : 0 .. KILLS);
		run thread(1);
		run thread(2);
#if N > 2
		run thread(3);
#endif
#if N > 3
		run thread(4);
#endif
	}
}
