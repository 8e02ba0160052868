/* The condition of src/sync/cond.c: consumers wait for items, producers put them in and notify one; up to KILLS of
 * them die, at any step. The lock is taken for what models/lock.pml shows of it: a dead owner's is free, and the next is told.
 *
 * Shown: when nothing more happens, nobody sleeps while there is an item.
 *
 * NO_ALARM     the death of the lock's owner wakes no waiter: must be found
 * WAKE_ONE     a ring wakes one, and not all: must be found
 * TAKE_EARLY   a permit is taken before the lock is: must be found
 * COUNT_FIRST  notify_all() forgets the waiters before it has rung: must be found
 * NAME_FIRST   the alarm names its owner before the kernel would ring it: must be found
 * RING_FIRST   the bell is rung before the fields say who may go: must be found */
#ifndef CONSUMERS
#define CONSUMERS 2
#endif
#ifndef PRODUCERS
#define PRODUCERS 2
#endif
#ifndef KILLS
#define KILLS 2
#endif
#define N (CONSUMERS + PRODUCERS)

byte owner, alarm;         /* 0: nobody */
bool died, alarm_died;     /* the owner before, and it rang */
byte bell, next, until, permits, bound, waiting;
bool asleep[N + 1], insured[N + 1], listed[N + 1]; /* listed: the entry of the alarm */
byte items, kills, budget;

#define MAY_DIE :: atomic { kills < budget -> kills++; goto dead }
#define STEP(what) if :: atomic { what } MAY_DIE fi

inline wake_one()
{
	if
	:: asleep[1] -> asleep[1] = false
	:: asleep[2] -> asleep[2] = false
#if CONSUMERS > 2
	:: asleep[3] -> asleep[3] = false
#endif
	:: else -> skip
	fi
}

inline wake_all()
{
	asleep[1] = false;
	asleep[2] = false;
#if CONSUMERS > 2
	asleep[3] = false
#endif
}

/* The kernel, when the owner dies. */
inline die()
{
	asleep[me] = false;
	if
	:: owner == me ->
		owner = 0;
		died = true;
#ifndef NO_ALARM
		if
		:: alarm == me && listed[me] -> alarm = 0; alarm_died = true; wake_one()
		:: else -> skip
		fi
#endif
	:: else ->
		if
		:: insured[me] && alarm == 0 -> wake_one()
		:: else -> skip
		fi
	fi;
	insured[me] = false
}

#define ACQUIRE if :: atomic { owner == 0 -> owner = me; told = died; died = false } MAY_DIE fi; \
	ARM
#ifdef NAME_FIRST
#define ARM STEP(alarm = me; alarm_died = false); STEP(listed[me] = true)
#else
#define ARM STEP(listed[me] = true); STEP(alarm = me; alarm_died = false)
#endif
#define RELEASE STEP(listed[me] = false); STEP(alarm = 0; alarm_died = false); STEP(owner = 0)

#ifdef WAKE_ONE
#define RING STEP(bell++; wake_one())
#else
#define RING STEP(bell++; wake_all())
#endif

proctype consumer(byte me)
{
	byte number, seen_bell, seen_alarm;
	bool told, seen_died, mine, go;

	ACQUIRE;
again:
	if
	:: told && waiting > 0 -> /* notify all, since the dead may not have come to it */
		STEP(until = next);
		STEP(permits = 0);
#ifdef COUNT_FIRST
		STEP(waiting = 0);
		RING
#else
		RING;
		STEP(waiting = 0)
#endif
	:: else -> skip
	fi;
	told = false;
	if
	:: items > 0 -> STEP(items--); goto out
	:: else -> skip
	fi;
	STEP(insured[me] = true);
	STEP(number = next; next++);
	STEP(waiting++);
sleep:
	STEP(seen_bell = bell);
	RELEASE;
	mine = false;
look:
	STEP(seen_alarm = alarm; seen_died = alarm_died);
	if
	:: seen_died -> STEP(wake_all()); goto lock
	:: else -> skip
	fi;
	STEP(seen_bell = bell);
#ifdef TAKE_EARLY
	if
	:: atomic {
		if
		:: permits > 0 && number < bound -> permits--; waiting--; mine = true
		:: else -> skip
		fi
	}
	MAY_DIE
	fi;
	if
	:: mine -> goto lock
	:: else -> skip
	fi;
#endif
	STEP(go = number < until || (permits > 0 && number < bound));
	if
	:: go -> goto lock
	:: else -> skip
	fi;
	if
	:: atomic {
		if
		:: bell == seen_bell && alarm == seen_alarm && alarm_died == seen_died -> asleep[me] = true
		:: else -> goto look
		fi
	}
	MAY_DIE
	fi;
endasleep: /* the watcher says if it may */
	if
	:: !asleep[me] -> skip
	MAY_DIE
	fi;
	goto look;
lock:
	ACQUIRE;
	if
	:: mine || number < until -> skip
	:: else ->
		if
		:: permits > 0 && number < bound -> STEP(permits--); STEP(waiting--)
		:: else ->
			if
			:: told -> STEP(waiting--)
			:: else -> goto sleep
			fi
		fi
	fi;
	STEP(insured[me] = false);
	goto again;
out:
	RELEASE;
	goto over;
dead:
	atomic { die() };
over:
	skip
}

proctype producer(byte me)
{
	bool told;

	ACQUIRE;
	STEP(items++);
	if
	:: told && waiting > 0 ->
		STEP(until = next);
		STEP(permits = 0);
#ifdef COUNT_FIRST
		STEP(waiting = 0);
		RING
#else
		RING;
		STEP(waiting = 0)
#endif
	:: !told && waiting > 0 ->
#ifdef RING_FIRST
		RING;
		STEP(bound = next);
		STEP(permits = permits + (waiting > permits))
#else
		STEP(bound = next);
		STEP(permits = permits + (waiting > permits));
		RING
#endif
	:: else -> skip
	fi;
	RELEASE;
	goto over;
dead:
	atomic { die() };
over:
	skip
}

proctype watcher()
{
	timeout -> assert(items == 0 || owner != 0 || !(asleep[1] || asleep[2]
#if CONSUMERS > 2
		|| asleep[3]
#endif
		))
}

init {
	atomic {
		/* each number of deaths by itself: who sleeps for ever could else still be killed, and go on no more */
		select(budget : 0 .. KILLS);
		run consumer(1);
		run consumer(2);
#if CONSUMERS > 2
		run consumer(3);
#endif
		run producer(CONSUMERS + 1);
#if PRODUCERS > 1
		run producer(CONSUMERS + 2);
#endif
		run watcher()
	}
}
